import { availableParallelism } from 'node:os'
import path from 'node:path'
import type { RouteConfig } from '../core/contract/route-config.ts'
import type { ClockMark } from '../core/contract/stored-message.ts'
import type { Kafka } from '../core/kafka/client.ts'
import type { KafkaConfig } from '../core/kafka/config.ts'
import { kafkaFromConfig } from '../core/kafka/connection.ts'
import { DurableLog } from '../core/log/log.ts'
import type { Cursor } from '../core/log/reader.ts'
import { openClaimedReader, type ReaderGap } from '../core/log/reader-claim.ts'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import { pause } from '../core/runtime/deadline.ts'
import { type DirectoryLock, lockDirectory } from '../core/runtime/directory-lock.ts'
import { messageOf, type OperationalError } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import { AlertSinks } from './alerts/alert-sinks.ts'
import type { AlertsConfig } from './alerts/config.ts'
import { ClockSync } from './clock-sync.ts'
import type {
  AgentSectionConfig,
  ClockConfig,
  LogConfig,
  MqttConfig,
  UplinkConfig,
  UpstreamConfig
} from './config.ts'
import { DiskBudget } from './disk-budget.ts'
import { type Identity, loadIdentity, readBootId } from './identity.ts'
import { EmbeddedBroker } from './ingest/embedded-broker.ts'
import { Intake } from './ingest/intake.ts'
import { UpstreamClient } from './ingest/upstream-client.ts'
import type { RouterOptions } from './routing/router.ts'
import { type AgentStatus, statusOf } from './status.ts'
import { InlineUplink } from './uplink/inline-uplink.ts'
import { createTopics } from './uplink/kafka-topics.ts'
import type { LaneView, Uplink } from './uplink/lane-view.ts'
import { LANES, type LaneName, type LanePlan, openLane } from './uplink/open-lane.ts'
import { UplinkThread, uplinkThreadFile } from './uplink/uplink-thread.ts'

export interface AgentConfig {
  agent: AgentSectionConfig
  mqtt: MqttConfig
  upstreams: UpstreamConfig[]
  log: LogConfig
  clock: ClockConfig
  kafka: KafkaConfig
  uplink: UplinkConfig
  routes: RouteConfig[]
  alerts: AlertsConfig
}

export interface AgentOptions {
  config: AgentConfig
  version: string
  /** The wall clock is not believed before it: this version's release, epoch ms. */
  releasedAt: number
  logger: Logger
  clock?: Clock
  /** The agent cannot go on: its log failed. */
  onFailure: (error: OperationalError) => void
}

const UPLINK = 'uplink'
const CLOCK_CHECK_MS = 5_000
const BUDGET_LOOK_MS = 5_000
/** Of a stop: what sinks have not told by then is told after the next start. */
const SINKS_STOP_MS = 2_000

interface OpenedLogs {
  telemetryLog: DurableLog
  alertLog: DurableLog
  budget: DiskBudget
}

/**
 * The agent: ingest → log → uplink, alerts to their sinks, and the doors through which a detector
 * reads the log and stores alerts. Everything behind the log is a reader of it; a slow or broken one delays nobody.
 */
export class Agent {
  readonly identity: Identity
  readonly telemetryLog: DurableLog
  readonly alertLog: DurableLog
  readonly budget: DiskBudget
  readonly intake: Intake
  readonly upstreams: UpstreamClient[] = []
  readonly #options: AgentOptions
  readonly #clock: Clock
  readonly #clockSync: ClockSync
  readonly #lock: DirectoryLock
  readonly #startedAt: number
  #uplink: Uplink | undefined
  #broker: EmbeddedBroker | undefined
  #alertSinks: AlertSinks | undefined
  #accepting = false
  #timers: NodeJS.Timeout[] = []
  readonly #stopped = new AbortController()

  /**
   * Takes the data directory, recovers both logs and starts lanes and ingest. Kafka need not be
   * there. Readings are accepted once this resolves.
   *
   * @throws {OperationalError} DIRECTORY_LOCKED, DIRECTORY_UNUSABLE, ADDRESS_IN_USE, HOST_UNKNOWN,
   *   LISTEN_FAILED.
   */
  static async start(options: AgentOptions): Promise<Agent> {
    const { config, logger } = options
    const lock = await lockDirectory(config.agent.data)
    const opened: DurableLog[] = []
    try {
      const identity = loadIdentity(config.agent.data, config.agent.id)
      if (identity.moved) {
        logger.warn(
          { event: 'agent.moved', agentId: identity.agentId },
          'This data directory comes from another machine: the agent takes a new id and a new epoch.'
        )
      }
      if (identity.lost) {
        logger.error(
          { event: 'agent.identity_lost', agentId: identity.agentId },
          'agent.json is damaged: the agent takes a new id. What was not delivered yet gets it too; give agent.id to go on with the old one.'
        )
      }
      const budget = new DiskBudget({ ...config.log, data: config.agent.data })
      const open = async (lane: LaneName, bytesMax: number, sharedBytes = () => 0) => {
        const log = await DurableLog.open({
          directory: path.join(config.agent.data, lane),
          logger: logger.child({ lane }),
          bytesMax,
          sharedBytes,
          overflow: config.log.overflow,
          sync: config.log.sync,
          syncWindowMs: config.log.syncWindowMs,
          syncIntervalMs: config.log.syncIntervalMs,
          ageMsMax: config.log.ageMaxMs,
          checkpointIntervalMs: config.uplink.checkpointIntervalMs,
          forceNewEpoch: identity.moved,
          onFailure: options.onFailure
        })
        opened.push(log)
        return log
      }
      await budget.look()
      const alertLog = await open('alerts', budget.alertBytesMax)
      budget.alertLog = alertLog
      const telemetryLog = await open('telemetry', config.log.bytesMax, () => budget.sharedBytes)
      const agent = new Agent(options, lock, identity, { telemetryLog, alertLog, budget })
      try {
        await agent.#start()
      } catch (error) {
        await agent.#uplink?.stop(0)
        throw error
      }
      return agent
    } catch (error) {
      for (const log of opened) await log.close().catch(() => {})
      lock.release()
      throw error
    }
  }

  private constructor(
    options: AgentOptions,
    lock: DirectoryLock,
    identity: Identity,
    { telemetryLog, alertLog, budget }: OpenedLogs
  ) {
    this.#options = options
    this.#lock = lock
    this.identity = identity
    this.telemetryLog = telemetryLog
    this.alertLog = alertLog
    this.budget = budget
    this.#clock = options.clock ?? systemClock
    this.#startedAt = this.#clock.now()
    this.#clockSync = new ClockSync({
      clock: this.#clock,
      bootId: readBootId(),
      floorAt: options.releasedAt,
      onMark: mark => {
        this.intake.markClock(mark)
        this.#uplink?.markClock(mark)
      }
    })
    this.intake = new Intake(
      telemetryLog,
      this.#clockSync,
      options.config.mqtt.inflightBytesMax,
      this.#clock
    )
  }

  /** The embedded broker, for local subscribers; absent when `mqtt.listen` is off. */
  get broker(): EmbeddedBroker | undefined {
    return this.#broker
  }

  /** Where alerts go beside Kafka. */
  get alertSinks(): AlertSinks {
    return this.#alertSinks!
  }

  get lanes(): readonly LaneView[] {
    return this.#uplink?.lanes ?? []
  }

  /** Whether readings are accepted: exactly what `/ready` says. */
  get ready(): boolean {
    const { state } = this.telemetryLog.status
    return this.#accepting && state === 'open'
  }

  get status(): AgentStatus {
    return statusOf(this, {
      version: this.#options.version,
      startedAt: this.#startedAt,
      now: this.#clock.now(),
      clockSynced: this.#clockSync.synced,
      replayedAfterMs: this.#options.config.uplink.replayedAfterMs
    })
  }

  /** How records of the telemetry log are decoded, as plain data. */
  get routerOptions(): RouterOptions {
    const { routes, uplink, clock } = this.#options.config
    return {
      agentId: this.identity.agentId,
      routes,
      deadLetterTopic: uplink.deadLetterTopic,
      pastMsMax: clock.pastMaxMs,
      futureMsMax: clock.futureMaxMs,
      replayedAfterMs: uplink.replayedAfterMs
    }
  }

  /** Lets go of the cursors of readers that did not come: call when all have. */
  releaseAbsentReaders(): void {
    this.telemetryLog.releaseWaitingCursors()
    this.alertLog.releaseWaitingCursors()
  }

  /**
   * Stops in order: no new message, acknowledgements sent, lanes drained for `drainMs` at most,
   * logs closed. What is not drained waits on disk for the next start.
   */
  async stop(drainMs: number): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#accepting = false
    this.#stopped.abort()
    for (const timer of this.#timers) clearInterval(timer)
    this.#broker?.stopAccepting()
    await this.#alertSinks?.stop(Math.min(drainMs, SINKS_STOP_MS))
    await Promise.all(this.upstreams.map(upstream => upstream.stop()))
    await this.#broker?.close()
    await this.#uplink?.stop(drainMs)
    await this.telemetryLog.close()
    await this.alertLog.close()
    this.#lock.release()
  }

  async #start(): Promise<void> {
    const { config, logger } = this.#options
    this.#uplink = this.#startUplink()
    if (config.kafka.createTopics) void this.#createTopics()
    if (config.mqtt.listen) {
      this.#broker = await EmbeddedBroker.open(
        { ...config.mqtt, address: config.mqtt.listen },
        this.intake,
        logger
      )
    }
    for (const upstream of config.upstreams) this.#startUpstream(upstream)
    this.#alertSinks = await AlertSinks.start({
      config: config.alerts,
      agentId: this.identity.agentId,
      dataDirectory: config.agent.data,
      alertLog: this.alertLog,
      broker: this.#broker,
      upstreams: this.upstreams,
      clock: this.#clock,
      logger
    })
    this.#timers.push(setInterval(() => this.#clockSync.check(), CLOCK_CHECK_MS).unref())
    this.#timers.push(setInterval(() => void this.budget.look(), BUDGET_LOOK_MS).unref())
    this.#accepting = true
  }

  /** In a thread of its own, unless that gains nothing. */
  #startUplink(): Uplink {
    const { config, logger } = this.#options
    if (config.agent.threads === 'auto' && uplinkThreadFile && availableParallelism() > 1) {
      return new UplinkThread({
        planOf: lane => this.#planOf(lane),
        onGap: (lane, gap) => this.#logOf(lane).reportGap(UPLINK, gap),
        onBeyondEnd: (lane, cursor) => this.#beginEpoch(lane, cursor),
        logger
      })
    }
    const marks = new Map<bigint, ClockMark>()
    const lanes = LANES.map(lane => {
      const plan = this.#planOf(lane)
      const onGap = (gap: ReaderGap) => this.#logOf(lane).reportGap(UPLINK, gap)
      const reader = openClaimedReader(plan.claim, { onGap })
      return openLane(
        plan,
        reader,
        logger,
        bootId => marks.get(bootId),
        cursor => this.#beginEpoch(lane, cursor)
      )
    })
    return new InlineUplink(lanes, marks)
  }

  /** The log is an older copy of itself: what it stores from now on must not take known ids. */
  #beginEpoch(lane: LaneName, cursor: Cursor): void {
    const { logger } = this.#options
    this.#logOf(lane)
      .beginEpoch(cursor.offset)
      .then(
        ({ epoch }) =>
          logger.error(
            { event: 'log.older_copy', lane, cursor, epoch },
            'Kafka knows a later end of this log than its files hold: they are an older copy. A new epoch begins, so that no id is given twice; what was stored since the copy keeps its ids.'
          ),
        error => logger.error({ event: 'log.epoch_failed', lane }, messageOf(error))
      )
  }

  #planOf(lane: LaneName): LanePlan {
    const { agent, kafka, uplink, clock, routes } = this.#options.config
    return {
      lane,
      agentId: this.identity.agentId,
      dataDirectory: agent.data,
      claim: this.#logOf(lane).claim(UPLINK),
      logEnd: this.#logOf(lane).status.end,
      kafka,
      uplink,
      clock,
      routes
    }
  }

  #logOf(lane: LaneName): DurableLog {
    return lane === 'telemetry' ? this.telemetryLog : this.alertLog
  }

  #startUpstream(upstream: UpstreamConfig): void {
    const clientId = upstream.clientId
      .replaceAll('{agentId}', this.identity.agentId)
      .replaceAll('{name}', upstream.name)
    const key = `upstream-topics/${upstream.name}/${clientId}`
    const previous = this.telemetryLog.note(key)
    const client = new UpstreamClient(
      {
        ...upstream,
        clientId,
        ...(previous === undefined ? {} : { previousTopics: JSON.parse(previous) as string[] }),
        onTopics: topics => this.telemetryLog.setNote(key, JSON.stringify(topics))
      },
      this.intake,
      this.#options.logger
    )
    this.upstreams.push(client)
    client.start()
  }

  /** Kafka may be away: tries until it is there, and again when a topic turns out to be missing. */
  async #createTopics(): Promise<void> {
    const { config, logger } = this.#options
    const kafka = this.#kafka('topics')
    while (!this.#stopped.signal.aborted) {
      try {
        const created = await createTopics(kafka, topicPlanOf(config))
        for (const { topic } of created) {
          logger.info({ event: 'kafka.topic_created', topic }, 'Created a topic.')
        }
        await this.#topicMissing()
      } catch (error) {
        logger.debug({ event: 'kafka.topics_waiting', error: messageOf(error) }, 'No topics yet.')
        await pause(1_000, this.#stopped.signal)
      }
    }
  }

  /** Resolves when a lane waits for a topic, for example of a cluster that was set up anew. */
  async #topicMissing(): Promise<void> {
    const isMissing = ({ state }: LaneView) =>
      state.kind === 'parked' && state.code === 'UNKNOWN_TOPIC_OR_PARTITION'
    while (!this.#stopped.signal.aborted && !this.lanes.some(isMissing)) {
      await pause(2_000, this.#stopped.signal)
    }
  }

  #kafka(role: string): Kafka {
    return kafkaFromConfig(this.#options.config.kafka, role, this.#options.logger)
  }
}

export function topicPlanOf(config: Pick<AgentConfig, 'routes' | 'uplink' | 'kafka'>) {
  const leading = config.routes.filter(route => !route.drop)
  const literal = leading.map(route => route.topic).filter(topic => !topic.includes('{'))
  return {
    telemetry: [...new Set(literal)],
    deadLetters: config.uplink.deadLetterTopic,
    alerts: config.uplink.alertTopic,
    partitions: config.kafka.partitions,
    replicationFactor: config.kafka.replicationFactor
  }
}
