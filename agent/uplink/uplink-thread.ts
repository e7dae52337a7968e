import { Worker } from 'node:worker_threads'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Cursor } from '../../core/log/reader.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import type { Logger } from '../../core/runtime/log.ts'
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

const RESTART_DELAY_MS = 1_000
/** Beyond the drain: closing producers and connections. */
const STOP_GRACE_MS = 5_000

/** Node 20 loads no TypeScript in a worker: run from the sources there is no thread. */
export const uplinkThreadFile = import.meta.url.endsWith('.js')
  ? new URL('./uplink-worker.js', import.meta.url)
  : undefined

/** The uplink in a thread of its own; started again when it fails. */
export class UplinkThread implements Uplink {
  readonly #options: UplinkThreadOptions
  readonly #marks = new Map<bigint, ClockMark>()
  #lanes: LaneView[] = LANES.map(unstarted)
  #worker: Worker | undefined
  #stopping = false
  #ended: Promise<void> = Promise.resolve()
  #restart: NodeJS.Timeout | undefined

  constructor(options: UplinkThreadOptions) {
    this.#options = options
    this.#start()
  }

  get lanes(): readonly LaneView[] {
    return this.#lanes
  }

  markClock(mark: ClockMark): void {
    this.#marks.set(mark.bootId, mark)
    this.#order({ kind: 'mark', mark })
  }

  async stop(drainMs: number): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    this.#order({ kind: 'stop', drainMs })
    const timer = setTimeout(() => void this.#worker?.terminate(), drainMs + STOP_GRACE_MS)
    await this.#ended
    clearTimeout(timer)
  }

  #start(): void {
    const { planOf, logger } = this.#options
    const data: UplinkThreadData = {
      plans: LANES.map(planOf),
      marks: [...this.#marks.values()],
      logLevel: logger.level
    }
    const worker = new Worker(uplinkThreadFile!, { workerData: data, name: 'uplink' })
    this.#worker = worker
    worker.on('message', (news: UplinkNews) => this.#hear(news))
    worker.on('error', error => {
      logger.error(
        { event: 'uplink.thread_failed', error: String(error.stack ?? error) },
        'The uplink failed by a fault of ours; its records are on disk, it is started again.'
      )
    })
    this.#ended = new Promise(resolve => {
      worker.once('exit', () => {
        this.#worker = undefined
        if (!this.#stopping) {
          this.#restart = setTimeout(() => this.#start(), RESTART_DELAY_MS)
        }
        resolve()
      })
    })
  }

  #hear(news: UplinkNews): void {
    if (news.kind === 'lanes') this.#lanes = news.lanes
    else if (news.kind === 'gap') this.#options.onGap(news.lane, news.gap)
    else if (news.kind === 'beyond-end') this.#options.onBeyondEnd(news.lane, news.cursor)
  }

  #order(order: UplinkOrder): void {
    this.#worker?.postMessage(order)
  }
}

function unstarted(name: string): LaneView {
  const counters = { delivered: 0, produced: 0, producedBytes: 0, batches: 0, produceMs: 0 }
  return {
    ...{ name, state: { kind: 'connecting' }, oldestAt: undefined },
    ...{ sendingMs: 0, rate: 0, counters, deadLetters: {} }
  }
}
