import type { DevicesLook, DevicesRequest } from '../../agent/devices/device-registry.ts'
import type { AlertEvent, AlertFrame } from '../../core/contract/alert-event.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Logger, LogLevel } from '../../core/runtime/log.ts'
import { RestartedThread } from '../../core/runtime/restarted-thread.ts'
import type { EdgeMeasures } from '../../detector/edge-detector.ts'
import type { LiveLook, LiveRequest } from '../../detector/live/live-view.ts'
import { type MeasuredEdge, withEarlierMeasures } from './edge-measures.ts'
import type { EdgeNews, EdgeOrder, EdgePlan, EdgeStatus, EdgeThreadData } from './edge-message.ts'

export interface EdgeThreadOptions {
  /** Made anew for each start: where the detector goes on after a fault. */
  planOf: () => EdgePlan
  store: (frame: AlertFrame) => Promise<void>
  onCaughtUp: (openAlerts: AlertEvent[]) => void
  onGap: (gap: ReaderGap) => void
  logger: Logger
}

const STOP_MS_MAX = 10_000
const ANSWER_MS_MAX = 1_000

/** Node 20 loads no TypeScript in a worker: run from the sources there is no thread. */
export const edgeThreadFile = import.meta.url.endsWith('.js')
  ? new URL('./edge-worker.js', import.meta.url)
  : undefined

/** The edge detector in a thread of its own; started again when it fails. */
export class EdgeThread {
  readonly #options: EdgeThreadOptions
  readonly #thread: RestartedThread<EdgeOrder, EdgeNews>
  readonly #questions = new Map<number, (answer: unknown) => void>()
  #asked = 0
  /** As last heard of, and those with which its former lives ended. */
  #measures: EdgeMeasures | undefined
  #earlier: EdgeMeasures | undefined
  /** The frame that is on its way to disk; the detector hands in one at a time. */
  #storing: Promise<void> = Promise.resolve()

  constructor(options: EdgeThreadOptions) {
    const { planOf, logger } = options
    this.#options = options
    this.#thread = new RestartedThread({
      file: edgeThreadFile!,
      name: 'detector',
      dataOf: (): EdgeThreadData => ({ plan: planOf(), logLevel: logger.level }),
      onNews: news => this.#hear(news),
      onFault: (fault, waitMs) => {
        this.#earlier = this.#measures
        logger.error(
          { event: 'detector.thread_failed', error: fault, waitMs },
          'Detection failed by a fault of ours; readings are still accepted and delivered, it is started again.'
        )
      },
      // The plan names the newest frame: one that is stored later would be said twice.
      settled: () => this.#storing
    })
  }

  /** @returns undefined when the thread is not there or too busy to answer. */
  status(): Promise<EdgeStatus | undefined> {
    return this.#ask(id => ({ kind: 'ask', id }))
  }

  get busyMs(): number {
    return this.#thread.busyMs
  }

  get faults(): number {
    return this.#thread.faults
  }

  async measures(): Promise<MeasuredEdge> {
    const heard = await this.#ask<EdgeMeasures>(id => ({ kind: 'measure', id }))
    if (heard) this.#measures = withEarlierMeasures(heard, this.#earlier)
    return { up: heard !== undefined && !heard.failed, measures: this.#measures }
  }

  /** @returns As `status`. */
  look(requests: readonly LiveRequest[]): Promise<LiveLook[] | undefined> {
    return this.#ask(id => ({ kind: 'look', id, requests }))
  }

  /** @returns As `status`. */
  devices(request: DevicesRequest): Promise<DevicesLook | undefined> {
    return this.#ask(id => ({ kind: 'devices', id, request }))
  }

  #ask<T>(orderOf: (id: number) => EdgeOrder): Promise<T | undefined> {
    if (!this.#thread.running) return Promise.resolve(undefined)
    const id = ++this.#asked
    return new Promise(resolve => {
      const settle = (answer: unknown) => {
        clearTimeout(timer)
        this.#questions.delete(id)
        resolve(answer as T | undefined)
      }
      const timer = setTimeout(() => settle(undefined), ANSWER_MS_MAX)
      this.#questions.set(id, settle)
      this.#thread.order(orderOf(id))
    })
  }

  /** Ends in order and begins anew, from its snapshot, with what the plan says now. */
  async restart(): Promise<void> {
    await this.measures()
    this.#earlier = this.#measures
    await this.#thread.replace({ kind: 'stop' }, STOP_MS_MAX)
  }

  setLogLevel(level: LogLevel): void {
    this.#thread.order({ kind: 'level', level })
  }

  stop(): Promise<void> {
    return this.#thread.stop({ kind: 'stop' }, STOP_MS_MAX)
  }

  #hear(news: EdgeNews): void {
    if (news.kind === 'store') this.#storing = this.#store(news.id, news.frame)
    else if (news.kind === 'status') this.#questions.get(news.id)?.(news.status)
    else if (news.kind === 'measures') this.#questions.get(news.id)?.(news.measures)
    else if (news.kind === 'looks') this.#questions.get(news.id)?.(news.looks)
    else if (news.kind === 'devices') this.#questions.get(news.id)?.(news.look)
    else if (news.kind === 'gap') this.#options.onGap(news.gap)
    else if (news.kind === 'caught-up') this.#options.onCaughtUp(news.openAlerts)
  }

  async #store(id: number, frame: AlertFrame): Promise<void> {
    try {
      await this.#options.store(frame)
      this.#thread.order({ kind: 'stored', id })
    } catch (error) {
      const code = error instanceof OperationalError ? error.code : 'DISK_FAILED'
      this.#thread.order({ kind: 'stored', id, refusal: { code, message: messageOf(error) } })
    }
  }
}
