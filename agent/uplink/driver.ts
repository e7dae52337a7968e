import type { UnansweredError } from '../../core/runtime/deadline.ts'
import type { LinkEstimate } from './link.ts'
import type { OutgoingRecord } from './outgoing-record.ts'
import type { Verdict } from './verdict.ts'

/*
 * What the deliveries need of a Kafka client, and all they know of it. `kafka-session.ts` provides it
 * over kafkajs; whatever is to take its place passes `test/agent/uplink/driver-checks.ts`.
 */

/** Kafka's own default of `transaction.max.timeout.ms`: no transaction lives longer. */
export const TRANSACTION_MS_LIMIT = 900_000

export interface Driver {
  /**
   * Connects a new producer, with the certificates and secrets as they are now.
   *
   * @param link Learns from the session; outlives it.
   */
  open(options: SessionOptions, link?: LinkEstimate): Promise<Session>
  /**
   * What is to be done about whatever a session, or its opening, rejected with. Names the topic where
   * it is known, as of a send to one topic it always is.
   */
  judge(error: unknown): Verdict
}

export interface SessionOptions {
  /** Makes the producer transactional. */
  transactionalId?: string
  transactionMsMax?: number
}

/**
 * One idempotent or transactional producer and its connections, from connect to the first error that
 * spoils it. One send at a time. No call waits for ever: what is not answered is given up.
 */
export interface Session {
  /** Certificates or secrets were exchanged since it began. */
  readonly isOutdated: boolean
  /**
   * Resolves when all replicas in sync have every record; those of a key are in order. When there is no
   * answer in time the same goes out again, under the same sequences, over new connections; also when
   * the same records are sent again after a rejection that `judge` would retry.
   *
   * @param onUnanswered Told each time.
   */
  send(
    records: readonly OutgoingRecord[],
    onUnanswered?: (error: UnansweredError) => void
  ): Promise<void>
  /** The first call fences every other producer with this transactional id (InitProducerId). */
  begin(): Promise<Transaction>
  /** What the group has committed of partition 0 of the topic. Only after the first `begin`. */
  committed(groupId: string, topic: string): Promise<CommittedGroup>
  /** What is under way is rejected. Never rejects itself. */
  close(): Promise<void>
}

/**
 * Records and an offset that appear together, or not at all. Any rejection spoils the session, and the
 * outcome is unknown; nothing aborts but the first `begin` of the next one, which no lost answer can
 * keep from it.
 */
export interface Transaction {
  send(records: readonly OutgoingRecord[]): Promise<void>
  /** Moves the group's offset of partition 0 of the topic. */
  sendOffset(groupId: string, topic: string, offset: CommittedOffset): Promise<void>
  commit(): Promise<void>
}

export interface CommittedOffset {
  offset: string
  metadata: string | null
}

export interface CommittedGroup {
  clusterId: string
  committed: CommittedOffset | undefined
}
