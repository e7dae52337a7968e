import type { AlertEvent } from '../core/contract/alert-event.ts'
import type { RouteConfig } from '../core/contract/route-config.ts'
import type { Kafka } from '../core/kafka/client.ts'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import { OperationalError } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import { AgentWatch } from './alert/agent-watch.ts'
import { Muting } from './alert/muting.ts'
import { type CentralCounters, noCentralCounters } from './central-counters.ts'
import type { DetectorConfig } from './config.ts'
import { addCounters, type DetectorCounters, noCounters, pastOf } from './counters.ts'
import { Detector } from './detector.ts'
import { type ModelStates, statesOf } from './device-models.ts'
import { KafkaPartition } from './kafka-partition.ts'
import { PartitionDetector } from './partition-detector.ts'
import { matchesAny } from './pattern.ts'
import { loadModels } from './scorer/onnx-models.ts'
import { AgentWords, readerOf } from './source/agent-words.ts'
import { KafkaSource, type Opened, type Place, type SourceState } from './source/kafka-source.ts'
import { TelemetryDecoder } from './source/telemetry-record.ts'

/** Partitions whose state is loaded side by side. */
const OPENING_MAX = 4

export interface CentralDetectorOptions {
  config: DetectorConfig
  /** A client for the consumer, and one for each partition, each time it is opened. */
  kafka: () => Kafka
  topics: { alerts: string; deadLetters: string; state: string }
  /** Where agents say how they are; null or absent: nobody is told that one is away. */
  statusTopic?: string | null
  routes: readonly RouteConfig[]
  /** See `KafkaSourceOptions`. */
  hangMsMax?: number
  logger: Logger
  clock?: Clock
}

/** One partition of ours, as it is now. */
export interface PartitionStatus extends Place {
  committed: number
  watermark: number | null
  series: number
  openAlerts: number
}

/** Who reports in the status topic. */
export interface AgentsStatus {
  /** `unheard`: the topic cannot be read, so nobody is away; `off`: there is none. */
  state: 'heard' | 'unheard' | 'off'
  error: string | undefined
  known: number
  /** Open alerts of agents, where this instance is the one that tells them. */
  away: number
}

export interface CentralStatus {
  state: SourceState
  error: string | undefined
  partitions: PartitionStatus[]
  agents: AgentsStatus
  counters: CentralCounters & DetectorCounters
}

/**
 * The detector over Kafka: a member of a consumer group, with one state a partition, so that partitions
 * can go from one instance to another and an alert never depends on what else an instance reads.
 */
export class CentralDetector {
  /** Told how far behind its partition's watermark a reading was, seconds. */
  onLate: (seconds: number) => void = () => {}
  /** Told how long a call of a model took, seconds. */
  onModelRun: (seconds: number) => void = () => {}
  readonly #options: CentralDetectorOptions
  readonly #decoder: TelemetryDecoder
  readonly #source: KafkaSource
  readonly #counters = noCentralCounters()
  /** Of partitions given up, and of those opened anew before that. */
  readonly #past = noCounters()
  readonly #partitions = new Map<string, PartitionDetector>()
  readonly #known = new Set<string>()
  readonly #words: AgentWords | undefined
  readonly #agents: AgentWatch | undefined
  /** By agent. */
  readonly #owned = new Map<string, boolean>()
  readonly #openingQueue: (() => void)[] = []
  #opening = 0
  #models: Awaited<ReturnType<typeof loadModels>> = []

  /** @throws {OperationalError} CONFIG_INVALID: it would read what it writes. */
  constructor(options: CentralDetectorOptions) {
    const { config, kafka, routes, hangMsMax, logger } = options
    this.#options = options
    const written = Object.values(options.topics).find(topic => config.topics.includes(topic))
    if (written !== undefined) {
      const message = `detector.topics names ${written}, which the detector itself writes.`
      throw new OperationalError('CONFIG_INVALID', message)
    }
    this.#decoder = new TelemetryDecoder(routes)
    const { statusTopic: topic, clock = systemClock } = options
    this.#words = topic
      ? new AgentWords({ topic, open: readerOf(kafka, topic), clock, logger })
      : undefined
    this.#agents = this.#words && this.#watchOver(this.#words, clock)
    this.#source = new KafkaSource({
      ...{ kafka, group: config.group, topics: config.topics, logger },
      ...(hangMsMax === undefined ? {} : { hangMsMax }),
      onRebalance: () => {
        this.#counters.rebalances++
      },
      consumer: {
        open: (topic, partition, signal) => this.#open(topic, partition, signal),
        take: (topic, partition, messages, end) =>
          this.#partition(topic, partition).take(messages, end),
        settle: (topic, partition) => this.#partition(topic, partition).settle(),
        revoked: (topic, partition) => this.#revoked(topic, partition)
      }
    })
  }

  /** Runs until the signal aborts; then finishes the batch in hand, saves, and leaves the group. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, logger } = this.#options
    // One session for each model, whatever the number of partitions.
    const onRun = (seconds: number) => this.onModelRun(seconds)
    this.#models =
      config.scorer === 'onnx' ? await loadModels(config.models, logger, { onRun }) : []
    const listening = this.#words?.run(signal)
    try {
      await this.#source.run(signal, () => this.#finish())
      await listening
    } finally {
      await Promise.all([...this.#partitions.values()].map(p => p.close()))
      await Promise.all(this.#models.map(m => m.close()))
    }
  }

  openAlerts(): AlertEvent[] {
    const ofDevices = [...this.#partitions.values()].flatMap(p => p.detector?.openAlerts() ?? [])
    return [...ofDevices, ...this.#agentAlerts()]
  }

  get models(): ModelStates {
    return statesOf(this.#models)
  }

  /** Of the process since it began; what it knows now, of the partitions held now. */
  counters(): CentralCounters & DetectorCounters {
    const sum = structuredClone(this.#past)
    for (const { detector } of this.#partitions.values()) {
      if (detector) addCounters(sum, detector.counters())
    }
    return { ...sum, ...structuredClone(this.#counters) }
  }

  status(): CentralStatus {
    const { state, error } = this.#source
    const agents = this.#agentsStatus()
    return { state, error, partitions: this.#places(), agents, counters: this.counters() }
  }

  #agentsStatus(): AgentsStatus {
    const words = this.#words
    if (!words) return { state: 'off', error: undefined, known: 0, away: 0 }
    const state = words.heard === undefined ? 'unheard' : 'heard'
    return { state, error: words.error, known: words.size, away: this.#agentAlerts().length }
  }

  #agentAlerts(): AlertEvent[] {
    const own = [...this.#partitions.values()].find(({ name }) => this.#tellsOfAgents(name))
    return own?.detector ? (this.#agents?.openAlerts ?? []) : []
  }

  /** One instance of the group does: whoever has the first partition. */
  #tellsOfAgents({ topic, partition }: { topic: string; partition: number }): boolean {
    return partition === 0 && topic === this.#options.config.topics[0]
  }

  #watchOver(words: AgentWords, clock: Clock): AgentWatch {
    const { config } = this.#options
    return new AgentWatch({
      ...{ source: `/fieldline/${config.group}`, words, clock },
      // Those of other instances are not known here.
      countDevices: counts => {
        for (const { detector } of this.#partitions.values()) detector?.countByAgent(counts)
      },
      muting: new Muting(config.silences)
    })
  }

  #places(): PartitionStatus[] {
    return this.#source.places.map(place => {
      const { topic, partition, state, position, lag, error } = place
      const own = this.#partitions.get(keyOf(topic, partition))
      const { series = 0, openAlerts = 0 } = own?.detector?.counters() ?? {}
      const { committed = 0, watermark = null } = own ?? {}
      return {
        ...{ topic, partition, state, position, lag, error },
        ...{ committed, watermark, series, openAlerts }
      }
    })
  }

  async #open(topic: string, partition: number, signal: AbortSignal): Promise<Opened> {
    const key = keyOf(topic, partition)
    if (this.#known.has(key)) this.#counters.reopened++
    this.#known.add(key)
    const own = this.#partitions.get(key) ?? this.#create(topic, partition)
    this.#partitions.set(key, own)
    await this.#turnToOpen()
    try {
      return await own.open(signal)
    } finally {
      this.#opening--
      this.#openingQueue.shift()?.()
    }
  }

  async #turnToOpen(): Promise<void> {
    if (this.#opening >= OPENING_MAX) {
      await new Promise<void>(resolve => this.#openingQueue.push(resolve))
    }
    this.#opening++
  }

  #create(topic: string, partition: number): PartitionDetector {
    const { config, kafka, topics, logger, clock = systemClock } = this.#options
    const name = { group: config.group, topic, partition }
    const source = `/fieldline/${config.group}`
    return new PartitionDetector({
      ...{ name, topics, logger, clock, decoder: this.#decoder, counters: this.#counters },
      open: () => KafkaPartition.open(kafka(), name),
      detector: () => new Detector(config, { source, logger, models: this.#models }),
      owns: agentId => this.#owns(agentId),
      ...(this.#agents && this.#tellsOfAgents(name) ? { agents: this.#agents } : {}),
      stateIntervalMs: config.snapshotIntervalMs,
      onLate: seconds => this.onLate(seconds),
      onGone: counters => addCounters(this.#past, pastOf(counters))
    })
  }

  #partition(topic: string, partition: number): PartitionDetector {
    const own = this.#partitions.get(keyOf(topic, partition))
    if (!own) throw new Error(`${topic}/${partition} is not ours`)
    return own
  }

  async #revoked(topic: string, partition: number): Promise<void> {
    const key = keyOf(topic, partition)
    const own = this.#partitions.get(key)
    this.#partitions.delete(key)
    this.#known.delete(key)
    await own?.close()
  }

  async #finish(): Promise<void> {
    await Promise.all([...this.#partitions.values()].map(p => p.finish()))
  }

  /** Agents that detect by themselves own their series. */
  #owns(agentId: string): boolean {
    let owned = this.#owned.get(agentId)
    if (owned === undefined) {
      const { edgeAgents } = this.#options.config
      owned = edgeAgents.length === 0 || !matchesAny(edgeAgents, agentId)
      if (this.#owned.size >= 10_000) this.#owned.clear()
      this.#owned.set(agentId, owned)
    }
    return owned
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
