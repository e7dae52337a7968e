import {
  type Batch,
  type Consumer,
  type EachBatchPayload,
  KAFKA_CONSUMER_RETRY,
  type Kafka,
  type KafkaMessage
} from '../../core/kafka/client.ts'
import { socketsOf } from '../../core/kafka/sockets.ts'
import { pause, withDeadline } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'

/** Messages handed over at a time: heartbeats pass between them. */
const PART_RECORDS_MAX = 500
/** Partitions that wait for Kafka's answers side by side. */
const PARTITIONS_AT_ONCE = 4
const SETTLE_INTERVAL_MS = 250
const HEARTBEAT_INTERVAL_MS = 2000
/** After a broker's restart the group waits so long for the member that one was before. */
const SESSION_TIMEOUT_MS = 10_000
const REBALANCE_TIMEOUT_MS = 20_000
/** Longer than any answer of Kafka's takes: a consumer that shows no sign of life is replaced. */
const HANG_MS_MAX = 60_000
/**
 * Until a group takes a new member: first, one that is gone without a word has to run out of time. Given
 * up sooner, the new one would be the next that the group waits for.
 */
const JOIN_MS_MAX = SESSION_TIMEOUT_MS + REBALANCE_TIMEOUT_MS
const CLOSE_MS_MAX = 5_000
const RETRY_MS_MIN = 500
const RETRY_MS_MAX = 15_000

/** What is done with the partitions of a group's member. All it rejects with is tried again. */
export interface PartitionConsumer {
  /** It is ours now, or is to be begun anew. @returns Offset to read from, and where it ends. */
  open(topic: string, partition: number, signal: AbortSignal): Promise<Opened>
  /** @param end Offset behind the last message. */
  take(
    topic: string,
    partition: number,
    messages: readonly KafkaMessage[],
    end: number
  ): Promise<void>
  /** After each batch, and now and then without one. */
  settle(topic: string, partition: number): Promise<void>
  /** It is somebody else's now. */
  revoked(topic: string, partition: number): Promise<void>
}

export interface Opened {
  position: number
  end: number
}

/** Of ours, not of Kafka: trying again would meet it again. */
export class DefectError extends Error {
  constructor(cause: unknown) {
    super(`a defect: ${messageOf(cause)}`, { cause })
    this.name = 'DefectError'
  }
}

export interface KafkaSourceOptions {
  /** Called for each new consumer: certificates and secrets may have been exchanged. */
  kafka: () => Kafka
  group: string
  topics: readonly string[]
  consumer: PartitionConsumer
  onRebalance: () => void
  hangMsMax?: number
  logger: Logger
}

export type SourceState = 'joining' | 'reading' | 'waiting' | 'stopped'

/** One partition of ours. */
export interface Place {
  topic: string
  partition: number
  state: 'opening' | 'reading' | 'waiting'
  /** Of the next record to be read. */
  position: number
  /** Records that are not read yet, as of the last fetch. */
  lag: number
  /** Why it waits. */
  error: string | undefined
}

interface OwnPlace extends Place {
  /** Where the consumer was told to go, until it shows a batch that was taken. */
  sought: number | undefined
  settling: boolean
  /** Ends with the ownership. */
  readonly gone: AbortController
}

/**
 * A member of a consumer group: Kafka shares the partitions over all detectors of the group.
 *
 * The consumer serves for membership and fetching alone. Where to read it is told, for each partition
 * that becomes ours and after each rebalance; its own start position is never used, and every batch is
 * checked to begin where the last one ended. Nothing that Kafka does or refuses ends `run`.
 */
export class KafkaSource {
  state: SourceState = 'joining'
  /** Of the consumer; those of partitions are with them. */
  error: string | undefined
  readonly #options: KafkaSourceOptions
  readonly #places = new Map<string, OwnPlace>()
  readonly #batches = new Set<Promise<void>>()
  #consumer: Consumer | undefined
  #stop: (error?: unknown) => void = () => {}
  #defect: DefectError | undefined
  #signAt = 0
  #isMember = false

  constructor(options: KafkaSourceOptions) {
    this.#options = options
  }

  get places(): readonly Place[] {
    return [...this.#places.values()]
  }

  /**
   * Runs until the signal aborts and the batches in hand are done.
   *
   * @param leave Called before the group is left, so that the next owner finds everything in place.
   * @throws {DefectError}
   */
  async run(signal: AbortSignal, leave: () => Promise<void>): Promise<void> {
    try {
      await this.#runOn(signal, leave)
    } finally {
      for (const { gone } of this.#places.values()) gone.abort()
      this.state = 'stopped'
    }
  }

  async #runOn(signal: AbortSignal, leave: () => Promise<void>): Promise<void> {
    const { logger, group, topics } = this.#options
    let failures = 0
    while (!signal.aborted) {
      const startedAt = performance.now()
      try {
        await this.#runOnce(signal, leave)
      } catch (error) {
        if (this.#defect) throw this.#defect
        if (signal.aborted) break
        if (performance.now() - startedAt > RETRY_MS_MAX) failures = 0
        this.error = messageOf(error)
        this.state = 'waiting'
        if (failures === 0) {
          logger.error(
            { event: 'detector.kafka_away', group },
            `The detector cannot read ${topics.join(', ')} from Kafka: ${this.error}. It tries on ` +
              'until it can; nothing is lost meanwhile.'
          )
        }
        await pause(backoffMs(failures++), signal)
      }
    }
  }

  async #runOnce(signal: AbortSignal, leave: () => Promise<void>): Promise<void> {
    const { group, topics } = this.#options
    const kafka = this.#options.kafka()
    const consumer = kafka.consumer({
      groupId: group,
      sessionTimeout: SESSION_TIMEOUT_MS,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      heartbeatInterval: HEARTBEAT_INTERVAL_MS,
      maxWaitTimeInMs: 250,
      allowAutoTopicCreation: false,
      // What restarts by itself cannot be stopped while it does.
      retry: { ...KAFKA_CONSUMER_RETRY, restartOnFailure: async () => false }
    })
    this.#consumer = consumer
    this.#isMember = false
    const stopped = new Promise<void>((resolve, reject) => {
      this.#stop = error => (error === undefined ? resolve() : reject(error))
    })
    stopped.catch(() => {})
    const onAbort = () => this.#stop()
    signal.addEventListener('abort', onAbort, { once: true })
    const sign = () => {
      this.#signAt = performance.now()
    }
    sign()
    consumer.on('consumer.fetch', sign)
    consumer.on('consumer.heartbeat', sign)
    const stop = this.#stop
    consumer.on('consumer.group_join', ({ payload }) => {
      if (this.#consumer === consumer) this.#joined(payload.memberAssignment)
    })
    consumer.on('consumer.crash', ({ payload }) => stop(payload.error))
    const settling = setInterval(() => this.#settleIdle(), SETTLE_INTERVAL_MS)
    const watching = setInterval(() => this.#watch(kafka), 1000)
    const starting = (async () => {
      await consumer.connect()
      await consumer.subscribe({ topics: [...topics], fromBeginning: true })
      await consumer.run({
        // With automatic commits the client commits the target of every seek.
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: payload => (signal.aborted ? Promise.resolve() : this.#take(payload))
      })
    })()
    starting.catch(() => {})
    try {
      await Promise.race([starting.then(() => stopped), stopped])
    } finally {
      clearInterval(settling)
      clearInterval(watching)
      signal.removeEventListener('abort', onAbort)
      await Promise.allSettled(this.#batches)
      if (signal.aborted) {
        for (const place of this.#places.values()) {
          place.gone.abort()
          this.#pause(place)
        }
        await leave()
      }
      this.#consumer = undefined
      // Only when it has joined it can leave.
      await withDeadline('joining', REBALANCE_TIMEOUT_MS, starting).catch(() => {})
      await withDeadline('leaving', CLOSE_MS_MAX, consumer.disconnect()).catch(() => {})
      socketsOf(kafka).close()
    }
  }

  /** Before the first fetch of the new generation: kafkajs tells, then fetches. */
  #joined(assignment: Readonly<Record<string, number[]>>): void {
    const { consumer, logger, onRebalance } = this.#options
    this.#signAt = performance.now()
    this.#isMember = true
    this.state = 'reading'
    this.error = undefined
    onRebalance()
    const owned = new Set<string>()
    for (const [topic, partitions] of Object.entries(assignment)) {
      for (const partition of partitions) {
        owned.add(`${topic}/${partition}`)
        this.#own(topic, partition)
      }
    }
    for (const [name, place] of this.#places) {
      if (owned.has(name)) continue
      this.#places.delete(name)
      place.gone.abort()
      void consumer.revoked(place.topic, place.partition)
    }
    logger.info(
      { event: 'detector.assigned', partitions: owned.size },
      'The group has shared out its partitions.'
    )
  }

  #own(topic: string, partition: number): void {
    const name = `${topic}/${partition}`
    const known = this.#places.get(name)
    if (known) {
      if (known.state === 'reading') this.#seek(known)
      else this.#pause(known)
      return
    }
    const place: OwnPlace = {
      ...{ topic, partition, state: 'opening', position: 0, lag: 0, error: undefined },
      ...{ sought: undefined, settling: false, gone: new AbortController() }
    }
    this.#places.set(name, place)
    this.#pause(place)
    void this.#open(place)
  }

  /** Until it is open, or no longer ours. Paused meanwhile: the others read on. */
  async #open(place: OwnPlace, failure?: unknown): Promise<void> {
    const { consumer, logger } = this.#options
    const { topic, partition, gone } = place
    const { signal } = gone
    let error = failure
    for (let failures = 0; !signal.aborted; ) {
      if (error !== undefined) {
        place.error = messageOf(error)
        place.state = 'waiting'
        if (failures === 1) {
          logger.warn(
            { event: 'detector.partition_waits', topic, partition },
            `Partition ${topic}/${partition} waits: ${place.error}. It is tried again until it works, ` +
              "and goes on where it was. 'fieldline topics create' makes missing topics."
          )
        }
        // Long enough, too, for a member that was put out of the group to hear of it.
        await pause(backoffMs(failures++), signal)
        if (signal.aborted) return
      }
      place.state = 'opening'
      try {
        const { position, end } = await consumer.open(topic, partition, signal)
        if (signal.aborted) return
        place.position = position
        place.lag = Math.max(0, end - position)
        place.state = 'reading'
        place.error = undefined
        this.#seek(place)
        this.#tell(kafka => kafka.resume([{ topic, partitions: [partition] }]))
        return
      } catch (thrown) {
        if (thrown instanceof DefectError) this.#fail(thrown)
        error = thrown
      }
    }
  }

  #reopen(place: OwnPlace, error: unknown): void {
    if (error instanceof DefectError) this.#fail(error)
    if (place.state !== 'reading' || place.gone.signal.aborted) return
    const { topic, partition } = place
    place.state = 'waiting'
    this.#pause(place)
    this.#options.logger.debug({
      ...{ event: 'detector.partition_broken', topic, partition, error: messageOf(error) }
    })
    void this.#open(place, error)
  }

  #fail(defect: DefectError): void {
    this.#defect = defect
    this.#stop(defect)
  }

  #seek(place: OwnPlace): void {
    const { topic, partition, position } = place
    place.sought = position
    this.#tell(kafka => kafka.seek({ topic, partition, offset: String(position) }))
  }

  #pause({ topic, partition }: Place): void {
    this.#tell(kafka => kafka.pause([{ topic, partitions: [partition] }]))
  }

  /** One that is not running refuses: whatever runs next is told when it joins. */
  #tell(what: (consumer: Consumer) => void): void {
    try {
      if (this.#consumer) what(this.#consumer)
    } catch (error) {
      this.#options.logger.debug({ event: 'detector.consumer_not_told', error: messageOf(error) })
    }
  }

  #take(payload: EachBatchPayload): Promise<void> {
    const { topic, partition } = payload.batch
    const place = this.#places.get(`${topic}/${partition}`)
    if (place?.state !== 'reading' || payload.isStale()) return Promise.resolve()
    const taken = this.#takeBatch(payload, place)
    const settled = taken.then(
      () => {},
      () => {}
    )
    this.#batches.add(settled)
    void settled.then(() => this.#batches.delete(settled))
    return taken
  }

  async #takeBatch(payload: EachBatchPayload, place: OwnPlace): Promise<void> {
    const { batch, resolveOffset, heartbeat, isRunning } = payload
    const { topic, partition } = place
    // Not in its types; it is what was asked for, wherever the first message is.
    const { fetchedOffset } = batch as Batch & { fetchedOffset: string }
    const from = Number(fetchedOffset)
    if (from !== place.position) {
      if (place.sought !== place.position) return this.#seek(place)
      if (from < place.position) {
        return this.#reopen(place, new Error('Kafka has nothing at the position to read from'))
      }
      // Marks of transactions lie between, or what retention has taken.
    }
    place.sought = undefined
    const { messages } = batch
    for (let at = 0; at < messages.length; at += PART_RECORDS_MAX) {
      if (!isRunning() || place.gone.signal.aborted || place.state !== 'reading') return
      const part = messages.slice(at, at + PART_RECORDS_MAX)
      const { offset } = part[part.length - 1]
      const isLast = at + part.length === messages.length
      const end = Number(isLast ? batch.lastOffset() : offset) + 1
      let refused: unknown
      try {
        refused = await aliveDuring(heartbeat, async () => {
          const { consumer } = this.#options
          await consumer.take(topic, partition, part, end)
          if (isLast) await consumer.settle(topic, partition)
        })
      } catch (error) {
        return this.#reopen(place, error)
      }
      place.position = end
      place.lag = Math.max(0, Number(batch.highWatermark) - end)
      resolveOffset(offset)
      // After the work, whose outcome stands.
      if (refused) throw refused
      await heartbeat()
    }
  }

  #settleIdle(): void {
    for (const place of this.#places.values()) {
      if (place.state !== 'reading' || place.settling) continue
      place.settling = true
      this.#options.consumer
        .settle(place.topic, place.partition)
        .catch(error => this.#reopen(place, error))
        .finally(() => {
          place.settling = false
        })
    }
  }

  /** The client has been seen to hang after a connection was lost. */
  #watch(kafka: Kafka): void {
    const { hangMsMax = HANG_MS_MAX, logger, group } = this.#options
    const quietMs = performance.now() - this.#signAt
    if (quietMs < (this.#isMember ? hangMsMax : Math.max(hangMsMax, JOIN_MS_MAX))) return
    logger.warn(
      { event: 'detector.consumer_hangs', group },
      `Kafka's consumer has not fetched for ${Math.round(quietMs / 1000)} s: it is replaced.`
    )
    socketsOf(kafka).break()
    this.#stop(new Error(`nothing was heard from Kafka for ${Math.round(quietMs / 1000)} s`))
  }
}

/**
 * Keeps the membership while the work takes its time.
 *
 * @returns What a heartbeat was refused with, if one was: a rebalance, as a rule.
 */
async function aliveDuring(
  heartbeat: () => Promise<void>,
  work: () => Promise<void>
): Promise<unknown> {
  let refused: unknown
  const timer = setInterval(() => {
    heartbeat().catch(error => {
      refused ??= error
    })
  }, HEARTBEAT_INTERVAL_MS)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  return refused
}

function backoffMs(failures: number): number {
  return Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 10))
}
