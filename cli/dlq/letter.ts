import { parseEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'

/** A record of the dead-letter topic. Nothing of it is certain: anybody may write there. */
export interface DeadLetter {
  partition: number
  /** Kafka's own offset. */
  brokerOffset: number
  /** Kafka's, epoch ms. */
  timestampMs: number
  key: string
  value: Buffer
  headers: Readonly<Record<string, string>>
}

/** `partition/offset`: how a record that is sent again names its dead letter. */
export function placeOf({ partition, brokerOffset }: DeadLetter): string {
  return `${partition}/${brokerOffset}`
}

/** `unknown` where the header is missing: not written by an agent. */
export function reasonOf({ headers }: DeadLetter): string {
  return headers[HEADERS.reason] ?? 'unknown'
}

export function agentOf({ headers }: DeadLetter): string | undefined {
  return parseEventId(headers[HEADERS.id] ?? '')?.agentId
}

/** When the agent received the message, epoch ms; Kafka's time where that is not told. */
export function receivedAtOf({ headers, timestampMs }: DeadLetter): number {
  const received = Number(headers[HEADERS.received] ?? Number.NaN)
  return Number.isFinite(received) ? received : timestampMs
}

/** @returns Bytes of the message, when only its head was kept; undefined when it is whole. */
export function cutFrom({ headers }: DeadLetter): number | undefined {
  // Told twice: a letter whose size nobody copied must not pass for a whole one either.
  const told = headers[HEADERS.bytes] ?? CUT.exec(headers[HEADERS.detail] ?? '')?.[1]
  return told === undefined ? undefined : Number(told)
}

const CUT = /; first \d+ of (\d+) bytes kept$/
