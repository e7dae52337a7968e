import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { RestartedThread } from '../../core/runtime/restarted-thread.ts'
import type { LaneView, Uplink } from './lane-view.ts'
import { LANES, type LaneName, type LanePlan } from './open-lane.ts'
import type { UplinkNews, UplinkOrder, UplinkThreadData } from './uplink-message.ts'

export interface UplinkThreadOptions {
  /** Claims the lane's reader anew: where it goes on after the thread had to be started again. */
  planOf: (lane: LaneName) => LanePlan
  onGap: (lane: LaneName, gap: ReaderGap) => void
  /** See `LaneOptions`. */
  onBeyondEnd: (lane: LaneName, cursor: Cursor) => void
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

  constructor(options: UplinkThreadOptions) {
    this.#options = options
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

  markClock(mark: ClockMark): void {
    this.#marks.set(mark.bootId, mark)
    this.#thread.order({ kind: 'mark', mark })
  }

  stop(drainMs: number): Promise<void> {
    return this.#thread.stop({ kind: 'stop', drainMs }, drainMs + STOP_GRACE_MS)
  }

  #data(): UplinkThreadData {
    const { planOf, logger } = this.#options
    return {
      plans: LANES.map(planOf),
      marks: [...this.#marks.values()],
      logLevel: logger.level
    }
  }

  #hear(news: UplinkNews): void {
    if (news.kind === 'lanes') this.#lanes = news.lanes
    else if (news.kind === 'gap') this.#options.onGap(news.lane, news.gap)
    else if (news.kind === 'beyond-end') this.#options.onBeyondEnd(news.lane, news.cursor)
    else if (news.kind === 'stopped') this.#thread.end()
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
    ...{ sendingMs: 0, rate: 0, counters, deadLetters: {} }
  }
}
