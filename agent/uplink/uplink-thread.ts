import type { AgentWord } from '../../core/contract/agent-status.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import { noTotals } from '../../core/runtime/bucket-counts.ts'
import type { Logger, LogLevel } from '../../core/runtime/log.ts'
import { RestartedThread } from '../../core/runtime/restarted-thread.ts'
import type { StatusTopicPlan } from '../status-report/kafka-word-writer.ts'
import type { StatusTopicView } from '../status-report/status-topic.ts'
import { LANES, type LaneName, type LanePlan } from './lane-plan.ts'
import { withEarlier } from './lane-totals.ts'
import { type LaneView, PRODUCE_BUCKETS, REOPEN_DRAIN_MS, type Uplink } from './lane-view.ts'
import type { UplinkNews, UplinkOrder, UplinkThreadData } from './uplink-message.ts'

export interface UplinkThreadOptions {
  /** Claims the lane's reader anew: where it goes on after the thread had to be started again. */
  planOf: (lane: LaneName) => LanePlan
  onGap: (lane: LaneName, gap: ReaderGap) => void
  /** See `LaneOptions`. */
  onBeyondEnd: (lane: LaneName, cursor: Cursor) => void
  /** Where the agent's words go; null: nowhere. */
  statusTopic: StatusTopicPlan | null
  logger: Logger
}

/** Beyond the drain: closing producers and connections. */
const STOP_GRACE_MS = 5_000

/**
 * What it holds is small and short-lived; left alone its young space grows to 48 MB of garbage. The old
 * space has no limit: a thread that comes to it ends.
 */
const YOUNG_SPACE_MB = 12

/** Node 20 loads no TypeScript in a worker: run from the sources there is no thread. */
export const uplinkThreadFile = import.meta.url.endsWith('.js')
  ? new URL('./uplink-worker.js', import.meta.url)
  : undefined

/** The uplink in a thread of its own; started again when it fails. */
export class UplinkThread implements Uplink {
  readonly #options: UplinkThreadOptions
  readonly #marks = new Map<bigint, ClockMark>()
  readonly #thread: RestartedThread<UplinkOrder, UplinkNews>
  #lanes: LaneView[] = LANES.map(unstarted)
  /** Of the thread's former lives: counts go on from there. */
  #earlier: readonly LaneView[] = []

  #statusTopic: StatusTopicView | null
  #lastWord: (() => AgentWord) | undefined

  constructor(options: UplinkThreadOptions) {
    this.#options = options
    const topic = options.statusTopic?.topic
    this.#statusTopic = topic === undefined ? null : { topic, state: 'connecting' }
    this.#thread = new RestartedThread({
      file: uplinkThreadFile!,
      name: 'uplink',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_SPACE_MB },
      dataOf: () => this.#data(),
      onNews: news => this.#hear(news),
      onFault: (fault, waitMs) => this.#onFault(fault, waitMs)
    })
  }

  get lanes(): readonly LaneView[] {
    return this.#lanes
  }

  get busyMs(): number {
    return this.#thread.busyMs
  }

  get faults(): number {
    return this.#thread.faults
  }

  markClock(mark: ClockMark): void {
    this.#marks.set(mark.bootId, mark)
    this.#thread.order({ kind: 'mark', mark })
  }

  get statusTopic(): StatusTopicView | null {
    return this.#statusTopic
  }

  say(word: AgentWord): void {
    this.#thread.order({ kind: 'say', word })
  }

  async useRoutes(routes: readonly RouteConfig[]): Promise<void> {
    if (this.#lanes.some(({ state }) => state.kind === 'parked')) {
      const order = { kind: 'stop', drainMs: REOPEN_DRAIN_MS, thenLastWord: false } as const
      await this.#thread.replace(order, REOPEN_DRAIN_MS + STOP_GRACE_MS)
    } else this.#thread.order({ kind: 'routes', routes })
  }

  setLogLevel(level: LogLevel): void {
    this.#thread.order({ kind: 'level', level })
  }

  stop(drainMs: number, lastWord?: () => AgentWord): Promise<void> {
    this.#lastWord = lastWord
    const order = { kind: 'stop', drainMs, thenLastWord: lastWord !== undefined } as const
    return this.#thread.stop(order, drainMs + STOP_GRACE_MS)
  }

  #data(): UplinkThreadData {
    const { planOf, statusTopic, logger } = this.#options
    this.#earlier = this.#lanes
    return {
      plans: LANES.map(planOf),
      marks: [...this.#marks.values()],
      statusTopic,
      logLevel: logger.level
    }
  }

  #hear(news: UplinkNews): void {
    if (news.kind === 'lanes') {
      this.#lanes = news.lanes.map((lane, i) => withEarlier(lane, this.#earlier[i]))
    } else if (news.kind === 'gap') this.#options.onGap(news.lane, news.gap)
    else if (news.kind === 'beyond-end') this.#options.onBeyondEnd(news.lane, news.cursor)
    else if (news.kind === 'status-topic') this.#statusTopic = news.view
    else if (news.kind === 'drained') this.#sayLast()
    else if (news.kind === 'stopped') this.#thread.end()
  }

  #sayLast(): void {
    if (this.#lastWord) this.#thread.order({ kind: 'last-word', word: this.#lastWord() })
  }

  #onFault(fault: string, waitMs: number): void {
    const message = 'the uplink failed by a fault of ours and is started again'
    this.#lanes = this.#lanes.map(lane => ({
      ...lane,
      ...{ state: { kind: 'waiting', code: 'UPLINK_FAILED', message, sinceAt: Date.now() } },
      ...{ sendingMs: 0, rate: 0 }
    }))
    this.#options.logger.error(
      { event: 'uplink.thread_failed', error: fault, waitMs },
      'The uplink failed by a fault of ours; its records are on disk, it is started again.'
    )
  }
}

function unstarted(name: string): LaneView {
  const counters = { delivered: 0, produced: 0, producedBytes: 0, batches: 0, produceMs: 0 }
  return {
    ...{ name, state: { kind: 'connecting' }, oldestAt: undefined },
    ...{ sendingMs: 0, rate: 0, counters, deadLetters: {} },
    produceTimes: noTotals(PRODUCE_BUCKETS)
  }
}
