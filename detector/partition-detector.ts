import { ALERT_CONTENT_TYPE, type AlertEvent } from '../core/contract/alert-event.ts'
import { HEADERS } from '../core/contract/headers.ts'
import { deviceKey } from '../core/contract/topics.ts'
import type { KafkaMessage } from '../core/kafka/client.ts'
import type { Clock } from '../core/runtime/clock.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { AgentWatch } from './alert/agent-watch.ts'
import type { CentralCounters } from './central-counters.ts'
import type { DetectorCounters } from './counters.ts'
import type { Detector, DetectorReading } from './detector.ts'
import type { KafkaPartition, KafkaRecord, PartitionName } from './kafka-partition.ts'
import { DefectError, type Opened } from './source/kafka-source.ts'
import type { PoisonReason, TelemetryDecoder } from './source/telemetry-record.ts'
import { StateChunks } from './state-chunks.ts'

/** So many records to be stored are not held back until the batch is over. */
const PENDING_MAX = 200
/** How long the offset may lag behind what was read, while nothing else is to be stored. */
const COMMIT_INTERVAL_MS = 1000
/** A large state is saved less often: at most one part in so many of the time goes into it. */
const SAVE_SHARE = 20
/** Between two looks at who is away. */
const AGENTS_INTERVAL_MS = 1000
/** Of a poison record: a topic that took it takes it again, with room for the headers. */
const LETTER_BYTES_MAX = 512 << 10
const LETTER_HEAD_BYTES = 64 << 10

export type PartitionSession = Pick<
  KafkaPartition,
  'committed' | 'bounds' | 'read' | 'commit' | 'close'
>

export interface PartitionDetectorOptions {
  name: PartitionName
  /** Fences whoever had it before. */
  open: () => Promise<PartitionSession>
  /** With empty state. */
  detector: () => Detector
  decoder: TelemetryDecoder
  topics: { alerts: string; deadLetters: string; state: string }
  /** Whether the agent leaves its series to us. */
  owns: (agentId: string) => boolean
  stateIntervalMs: number
  /** Of the one partition whose owner tells which agents are away. */
  agents?: AgentWatch
  /** Shared by all partitions. */
  counters: CentralCounters
  onLate: (seconds: number) => void
  /** What a detector had counted whose place is taken, or given up. */
  onGone?: (counters: DetectorCounters) => void
  clock: Clock
  logger: Logger
}

/**
 * The detector of one input partition. Its alerts, dead letters and offset appear in Kafka in one
 * transaction; its state, with the position it belongs to, in another every few seconds, to the
 * partition of the same number.
 *
 * Opened anew after anything that was not answered: fence, ask for the committed offset, load the last
 * state, read again from its position, and say nothing until the committed offset is passed. Since
 * events are a function of the readings, none is missing and none said twice, whoever had the
 * partition before and however it ended.
 */
export class PartitionDetector {
  /** Of the next record to be read. */
  position = 0
  /** What the group has committed. */
  committed = 0
  /** Latest event time seen, epoch ms. */
  watermark: number | null = null
  readonly name: PartitionName
  readonly #options: PartitionDetectorOptions
  readonly #chunks: StateChunks
  /** Begins the keys of what is kept of agents; no topic's name begins so. */
  readonly #agentPrefix: string
  #session: PartitionSession | undefined
  #detector: Detector | undefined
  /** To be stored with the next offset. */
  #pending: KafkaRecord[] = []
  #committedAt = 0
  /** Where the state in Kafka belongs. */
  #savedPosition: number | undefined
  #savedAt = 0
  #saveMs = 0
  #agentsAt = Number.NEGATIVE_INFINITY
  /** Serialises batches, commits and snapshots. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: PartitionDetectorOptions) {
    const { group, topic, partition } = options.name
    this.name = options.name
    this.#options = options
    // The group's name, too: groups share the topic, and each has learned for itself.
    this.#chunks = new StateChunks(`${group}/${topic}/#${partition}`)
    this.#agentPrefix = `${group}/#agent/`
  }

  /** Absent while it is being opened. */
  get detector(): Detector | undefined {
    return this.#session && this.#detector
  }

  /** Rejects with the client's error; may be tried again. */
  open(signal: AbortSignal): Promise<Opened> {
    return this.#inTurn(async () => {
      await this.#close()
      const session = await this.#options.open()
      try {
        signal.throwIfAborted()
        await this.#restore(session, signal)
        this.#session = session
        if (this.position >= this.committed) await this.#setOrphansDue()
        return { position: this.position, end: session.bounds.end }
      } catch (error) {
        this.#session = session
        await this.#close()
        throw error
      }
    })
  }

  /** @param end Offset behind the last of them. */
  take(messages: readonly KafkaMessage[], end: number): Promise<void> {
    return this.#whileOpen(async () => {
      const silent = messages.filter(({ offset }) => Number(offset) < this.committed)
      await this.#process(silent)
      // From here on it is heard.
      if (this.position < this.committed && this.committed <= end) {
        this.position = this.committed
        await this.#setOrphansDue()
      }
      await this.#process(messages.slice(silent.length))
      this.position = end
      if (this.#pending.length >= PENDING_MAX) await this.#commit()
    })
  }

  /** Stores what waits to be stored: alerts at once, progress and state when they are due. */
  settle(): Promise<void> {
    return this.#whileOpen(async () => {
      const { clock, stateIntervalMs } = this.#options
      const now = clock.monotonic()
      if (now - this.#agentsAt >= AGENTS_INTERVAL_MS) this.#judgeAgents(now)
      if (this.#pending.length > 0 || now - this.#committedAt >= COMMIT_INTERVAL_MS) {
        await this.#commit()
      }
      const intervalMs = Math.max(stateIntervalMs, SAVE_SHARE * this.#saveMs)
      if (now - this.#savedAt >= intervalMs) await this.#save()
    })
  }

  /** Saves the state, if it is still ours, and gives the partition up. Never rejects. */
  async finish(): Promise<void> {
    const saving = this.#whileOpen(async () => {
      await this.#commit()
      await this.#save()
    })
    await saving.catch(error => {
      this.#options.logger.debug({ event: 'detector.unsaved', error: String(error) })
    })
    await this.close()
  }

  /** It is somebody else's, or to be opened anew. */
  async close(): Promise<void> {
    await this.#inTurn(() => this.#close())
  }

  async #restore(session: PartitionSession, signal: AbortSignal): Promise<void> {
    const { topics, detector: create, agents, clock, logger } = this.#options
    const kept = new Map<string, Buffer>()
    const records = new Map<string, Buffer>()
    const take = ({ key, value }: KafkaMessage): void => {
      const name = key?.toString() ?? ''
      if (name.startsWith(this.#agentPrefix)) {
        const agentId = name.slice(this.#agentPrefix.length)
        if (value) kept.set(agentId, value)
        else kept.delete(agentId)
      }
      if (!this.#chunks.owns(name)) return
      if (value) records.set(name, value)
      else records.delete(name)
    }
    await session.read(topics.state, take, signal)
    agents?.restore(kept)
    const stored = this.#chunks.read(records)
    const detector = create()
    const usable = typeof stored === 'object' && detector.restore(stored.state)
    if (stored && !usable) {
      logger.error(
        { event: 'detector.snapshot_unusable', ...this.name },
        'The state of a partition is damaged, or of another version or scorer: every series of it ' +
          'is learned anew. Alerts that were open are cleared if it names them.'
      )
    }
    const state = usable && typeof stored === 'object' ? stored : undefined
    this.#detector = detector
    this.#pending = []
    this.watermark = state?.watermark ?? null
    // The group's offset is forgotten after a long time away; the state's position is not.
    this.committed = Math.max(session.committed ?? session.bounds.first, state?.position ?? 0)
    // Without a state all that is kept is read again, in silence: it is what there is to learn from.
    this.position = state?.position ?? session.bounds.first
    this.#savedPosition = state?.position
    this.#savedAt = clock.monotonic()
    this.#committedAt = clock.monotonic()
    this.#stayWithin(session)
  }

  /** Retention may have taken what comes next; a topic made anew has none of it. */
  #stayWithin({ committed = 0, bounds: { first, end } }: PartitionSession): void {
    if (this.position >= first && this.committed <= end) return
    const { logger } = this.#options
    if (this.committed > end) {
      logger.error(
        { event: 'detector.topic_shorter', ...this.name, committed: this.committed, end },
        'A partition ends before the committed offset: the topic was made anew. It is read from its ' +
          'beginning, with what was learned before.'
      )
      this.position = first
      // Committed since then, if it lies within.
      this.committed = committed > end ? first : Math.max(committed, first)
    } else {
      logger.warn(
        { event: 'detector.records_gone', ...this.name, records: first - this.position },
        'Records that were still to be read are gone from the topic: alerts may differ from those of ' +
          'a run without a gap. A longer retention helps.'
      )
      this.position = first
      this.committed = Math.max(this.committed, first)
    }
  }

  async #process(messages: readonly KafkaMessage[]): Promise<void> {
    const readings: DetectorReading[] = []
    const origins: KafkaMessage[] = []
    for (const message of messages) {
      for (const reading of this.#decode(message)) {
        readings.push(reading)
        origins.push(message)
      }
    }
    // Before it: said already, by us or by whoever had the partition.
    const firstLoud = origins.findIndex(({ offset }) => Number(offset) >= this.committed)
    const loudFrom = firstLoud < 0 ? readings.length : firstLoud
    const processed = await this.#detector?.process(readings, loudFrom).catch(error => {
      throw new DefectError(error)
    })
    for (const { index, events } of processed ?? []) {
      if (index < loudFrom) continue
      this.#pending.push(...events.map(event => this.#alertRecord(event)))
    }
  }

  #decode(message: KafkaMessage): DetectorReading[] {
    const { counters, decoder, owns, onLate } = this.#options
    counters.records++
    const decoded = decoder.decode({
      topic: this.name.topic,
      key: message.key,
      value: message.value,
      timestampMs: Number(message.timestamp),
      header: name => textOf(message.headers?.[name])
    })
    if (!decoded.ok) {
      counters.poison[decoded.reason]++
      if (Number(message.offset) >= this.committed) {
        this.#pending.push(this.#deadLetter(message, decoded.reason, decoded.detail))
      }
      return []
    }
    if (decoded.unrouted) {
      if (counters.unrouted++ === 0) this.#tellUnrouted(message)
      return []
    }
    if (decoded.readings.length === 0 || !owns(decoded.readings[0].agentId)) {
      counters.notOurs++
      return []
    }
    for (const { at, receivedAt } of decoded.readings) {
      // A device whose clock is fast must not make all the others late.
      const believed = Math.min(at, receivedAt)
      if (this.watermark !== null && believed < this.watermark) {
        onLate((this.watermark - believed) / 1000)
      } else if (Number.isFinite(believed)) {
        this.watermark = believed
      }
    }
    return decoded.readings
  }

  /** The clock tells it, not a reading: it goes with the offset as it is. */
  #judgeAgents(now: number): void {
    const { agents, topics } = this.#options
    if (!agents || this.position < this.committed) return
    this.#agentsAt = now
    for (const { event, kept } of agents.judge()) {
      this.#pending.push(this.#alertRecord(event))
      const key = `${this.#agentPrefix}${kept.agentId}`
      const { partition } = this.name
      this.#pending.push({ topic: topics.state, partition, key, value: kept.value })
    }
  }

  async #commit(): Promise<void> {
    const { clock, counters, topics } = this.#options
    this.#committedAt = clock.monotonic()
    // While what others have said is read again, there is nothing to say.
    const isBehind = this.position < this.committed
    if (isBehind || (this.position === this.committed && this.#pending.length === 0)) return
    await this.#session?.commit(this.#pending, this.position)
    counters.stored += this.#pending.filter(({ topic }) => topic !== topics.state).length
    this.#pending = []
    this.committed = this.position
  }

  /** Only when all it knows is committed: a reader of the state begins where it ends. */
  async #save(): Promise<void> {
    this.#savedAt = this.#options.clock.monotonic()
    if (this.position === this.#savedPosition || this.position !== this.committed) return
    const { topics, counters } = this.#options
    const { position, watermark } = this
    const state = this.#detector?.snapshot() ?? Buffer.alloc(0)
    const { partition } = this.name
    const records = this.#chunks
      .write(state, { position, watermark })
      .map(record => ({ ...record, topic: topics.state, partition }))
    await this.#session?.commit(records, position)
    this.#savedPosition = position
    this.#saveMs = this.#options.clock.monotonic() - this.#savedAt
    counters.stateBytes += records.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
  }

  /**
   * Before the first record that is heard: alerts that nobody looks after any more are known to a
   * state before their end is told, so that it is not told again after a crash.
   */
  async #setOrphansDue(): Promise<void> {
    if (!this.#detector?.setOrphansDue()) return
    this.#savedPosition = undefined
    await this.#save()
  }

  #alertRecord(event: AlertEvent): KafkaRecord {
    return {
      topic: this.#options.topics.alerts,
      key: deviceKey(event.data.site, event.data.device),
      value: JSON.stringify(event),
      // The time of sending: a topic may refuse event times that lie far from now.
      timestampMs: this.#options.clock.now(),
      headers: { 'content-type': ALERT_CONTENT_TYPE }
    }
  }

  #deadLetter(message: KafkaMessage, reason: PoisonReason, detail: string): KafkaRecord {
    const { value, headers } = message
    const { topic, partition } = this.name
    const cut = value && value.length > LETTER_BYTES_MAX
    return {
      topic: this.#options.topics.deadLetters,
      key: message.key,
      value: cut ? value.subarray(0, LETTER_HEAD_BYTES) : value,
      timestampMs: Number(message.timestamp),
      headers: {
        ...headers,
        ...(cut ? { [HEADERS.bytes]: String(value.length) } : {}),
        [HEADERS.record]: `${topic}/${partition}/${message.offset}`,
        [HEADERS.stage]: 'decode',
        [HEADERS.reason]: reason,
        [HEADERS.detail]: `${topic}/${partition}/${message.offset}: ${detail}`
      }
    }
  }

  #tellUnrouted(message: KafkaMessage): void {
    this.#options.logger.error(
      { event: 'detector.unrouted', ...this.name, brokerOffset: message.offset },
      `Topic ${this.name.topic} holds records that no route of this configuration leads there: they ` +
        'are not scored. Give the detector the routes of its agents. Said once; the rest is counted.'
    )
  }

  /** Work of an open partition; what fails closes it. */
  #whileOpen(work: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#session) throw new Error('the partition is not open')
      try {
        await work()
      } catch (error) {
        await this.#close()
        throw error
      }
    })
  }

  async #close(): Promise<void> {
    const session = this.#session
    if (this.detector) this.#options.onGone?.(this.detector.counters())
    this.#session = undefined
    this.#pending = []
    await session?.close()
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work)
    this.#turn = done.catch(() => {})
    return done
  }
}

/** A header that is there more than once counts with its last value. */
function textOf(header: unknown): string | undefined {
  const value = Array.isArray(header) ? header.at(-1) : header
  return value === undefined || value === null ? undefined : String(value)
}
