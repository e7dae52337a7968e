import { availableParallelism } from 'node:os'
import type { AgentWord } from '../core/contract/agent-status.ts'
import type { RouteConfig } from '../core/contract/route-config.ts'
import type { ClockMark } from '../core/contract/stored-message.ts'
import type { DurableLog } from '../core/log/log.ts'
import type { Cursor } from '../core/log/reader.ts'
import { openClaimedReader, type ReaderGap } from '../core/log/reader-claim.ts'
import { type Clock, systemClock } from '../core/runtime/clock.ts'
import { type DirectoryLock, lockDirectory } from '../core/runtime/directory-lock.ts'
import { messageOf, type OperationalError } from '../core/runtime/errors.ts'
import { type Logger, type LogLevel, setLogLevel } from '../core/runtime/log.ts'
import { AlertSinks } from './alerts/alert-sinks.ts'
import type { AlertsConfig } from './alerts/config.ts'
import { ClockSync } from './clock-sync.ts'
import type { AgentConfig, MqttConfig } from './config.ts'
import type { DiskBudget } from './disk-budget.ts'
import { type Identity, loadIdentity, readBootId } from './identity.ts'
import { listenersOf } from './ingest/broker/config.ts'
import { EmbeddedBroker } from './ingest/broker/embedded-broker.ts'
import { Intake } from './ingest/intake.ts'
import type { UpstreamConfig } from './ingest/upstream/config.ts'
import type { UpstreamClient } from './ingest/upstream/upstream-client.ts'
import { type OpenedLogs, openLogs } from './open-logs.ts'
import type { RouterOptions } from './routing/router.ts'
import { type AgentStatus, statusOf } from './status.ts'
import { wordOf } from './status-report/agent-word.ts'
import type { StatusTopicView } from './status-report/status-topic.ts'
import { LANES, type LaneName, type LanePlan } from './uplink/lane-plan.ts'
import type { LaneView, Uplink } from './uplink/lane-view.ts'
import { UplinkThread, uplinkThreadFile } from './uplink/uplink-thread.ts'

export interface AgentOptions {
  config: AgentConfig
  version: string
  /** What the fleet is told of the configuration. */
  configHash?: string
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
  /** Of the configuration in effect; the next word tells it. */
  configHash: string
  #options: AgentOptions
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
      const logs = await openLogs({ ...options, forceNewEpoch: identity.moved }, opened)
      const agent = new Agent(options, lock, identity, logs)
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
    this.configHash = options.configHash ?? 'unknown'
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

  /** The embedded broker, for local subscribers; absent when it has no listener. */
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

  /** What the uplink's own thread has done, if it has one. */
  get uplinkThread(): Pick<Uplink, 'busyMs' | 'faults'> | undefined {
    return this.#uplink
  }

  /** How it stands with what the fleet is told; null when it is told nothing. */
  get statusTopic(): StatusTopicView | null {
    return this.#uplink?.statusTopic ?? null
  }

  /** Whether readings are accepted: exactly what `/ready` says. */
  get ready(): boolean {
    return this.#accepting && this.telemetryLog.status.takesRecords
  }

  /** Whether it does its work: what a watchdog is to hear. A full log is no reason to end it. */
  get working(): boolean {
    return this.#accepting && this.telemetryLog.status.state === 'open'
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
   * Users, rules and limits of the devices' broker; who would not be let in any more is disconnected.
   *
   * @throws {OperationalError} CONFIG_INVALID, and nothing has changed.
   */
  useMqtt(mqtt: MqttConfig): void {
    this.#broker?.reconfigure(mqtt)
    this.#use({ mqtt })
  }

  /** Certificates of listeners and the users' file are read now; others are read whenever they are used. */
  reloadCertificates(): void {
    this.#broker?.reloadFiles()
  }

  /** Records that are read from now on go by these routes; those under way, by the old ones. */
  async useRoutes(routes: RouteConfig[]): Promise<void> {
    this.#use({ routes })
    await this.#uplink?.useRoutes(routes)
  }

  /** Each sink ends in order and begins anew where it was; one that is new begins with what is open. */
  async useAlerts(alerts: AlertsConfig): Promise<void> {
    this.#use({ alerts })
    const { askOpen, status } = this.alertSinks
    await this.alertSinks.stop(SINKS_STOP_MS)
    this.#alertSinks = await this.#startAlertSinks()
    this.alertSinks.askOpen = askOpen
    const kept = this.alertSinks.status.map(({ name }) => name)
    for (const { name } of status) if (!kept.includes(name)) this.alertLog.releaseCursor(name)
    const open = await askOpen?.()
    if (open) this.alertSinks.reconcile(open)
  }

  /** Of this thread and the uplink's. */
  setLogLevel(level: LogLevel): void {
    setLogLevel(this.#options.logger, level)
    this.#uplink?.setLogLevel(level)
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
    await this.#uplink?.stop(drainMs, () => this.#word('stopped'))
    await this.telemetryLog.close()
    await this.alertLog.close()
    this.#lock.release()
  }

  async #start(): Promise<void> {
    const { config, logger } = this.#options
    this.#uplink = await this.#startUplink()
    if (config.kafka.createTopics) void this.#keepTopics()
    if (listenersOf(config.mqtt).length > 0) {
      this.#broker = await EmbeddedBroker.open(config.mqtt, this.intake, logger)
    }
    for (const upstream of config.upstreams) await this.#startUpstream(upstream)
    this.#alertSinks = await this.#startAlertSinks()
    const say = () => this.#uplink?.say(this.#word('running'))
    say()
    this.#timers.push(setInterval(say, config.uplink.statusIntervalMs).unref())
    this.#timers.push(setInterval(() => this.#clockSync.check(), CLOCK_CHECK_MS).unref())
    this.#timers.push(setInterval(() => void this.budget.look(), BUDGET_LOOK_MS).unref())
    this.#accepting = true
  }

  #use(changed: Partial<AgentConfig>): void {
    this.#options = { ...this.#options, config: { ...this.#options.config, ...changed } }
  }

  #startAlertSinks(): Promise<AlertSinks> {
    const { config, logger } = this.#options
    return AlertSinks.start({
      config: config.alerts,
      agentId: this.identity.agentId,
      dataDirectory: config.agent.data,
      alertLog: this.alertLog,
      broker: this.#broker,
      upstreams: this.upstreams,
      clock: this.#clock,
      logger
    })
  }

  /** In a thread of its own, unless that gains nothing. */
  async #startUplink(): Promise<Uplink> {
    const { config, logger } = this.#options
    if (config.agent.threads === 'auto' && uplinkThreadFile && availableParallelism() > 1) {
      return new UplinkThread({
        planOf: lane => this.#planOf(lane),
        onGap: (lane, gap) => this.#logOf(lane).reportGap(UPLINK, gap),
        onBeyondEnd: (lane, cursor) => this.#beginEpoch(lane, cursor),
        statusTopic: this.#statusTopicPlan,
        logger
      })
    }
    const [{ InlineUplink }, { openLane }, { openStatusTopic }] = await Promise.all([
      import('./uplink/inline-uplink.ts'),
      import('./uplink/open-lane.ts'),
      import('./status-report/kafka-word-writer.ts')
    ])
    const marks = new Map<bigint, ClockMark>()
    const openOne = (lane: LaneName) => {
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
    }
    const plan = this.#statusTopicPlan
    const open = () => LANES.map(openOne)
    return new InlineUplink(open, marks, plan && openStatusTopic(plan, logger))
  }

  get #statusTopicPlan() {
    const { kafka, uplink } = this.#options.config
    return uplink.statusTopic === null ? null : { topic: uplink.statusTopic, kafka }
  }

  #word(state: AgentWord['state']): AgentWord {
    const { statusIntervalMs: intervalMs } = this.#options.config.uplink
    const facts = { state, now: this.#clock.now(), intervalMs, configHash: this.configHash }
    return wordOf(this.status, facts)
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

  async #keepTopics(): Promise<void> {
    const { keepTopics } = await import('./topic-keeping.ts')
    await keepTopics({
      configOf: () => this.#options.config,
      lanesOf: () => this.lanes,
      signal: this.#stopped.signal,
      logger: this.#options.logger
    })
  }

  async #startUpstream(upstream: UpstreamConfig): Promise<void> {
    const { UpstreamClient } = await import('./ingest/upstream/upstream-client.ts')
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
}
