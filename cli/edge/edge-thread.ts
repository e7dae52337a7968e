import { Worker } from 'node:worker_threads'
import type { AlertEvent, AlertFrame } from '../../core/contract/alert-event.ts'
import type { ReaderGap } from '../../core/log/reader-claim.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { EdgeNews, EdgeOrder, EdgePlan, EdgeStatus, EdgeThreadData } from './edge-message.ts'

export interface EdgeThreadOptions {
  /** Made anew for each start: where the detector goes on after a fault. */
  planOf: () => EdgePlan
  store: (frame: AlertFrame) => Promise<void>
  onCaughtUp: (openAlerts: AlertEvent[]) => void
  onGap: (gap: ReaderGap) => void
  logger: Logger
}

const RESTART_DELAY_MS = 5_000
const STOP_MS_MAX = 10_000
const ANSWER_MS_MAX = 1_000

/** Node 20 loads no TypeScript in a worker: run from the sources there is no thread. */
export const edgeThreadFile = import.meta.url.endsWith('.js')
  ? new URL('./edge-worker.js', import.meta.url)
  : undefined

/** The edge detector in a thread of its own; started again when it fails. */
export class EdgeThread {
  readonly #options: EdgeThreadOptions
  readonly #questions = new Map<number, (status: EdgeStatus) => void>()
  #asked = 0
  #worker: Worker | undefined
  #ended: Promise<void> = Promise.resolve()
  #stopping = false
  #restart: NodeJS.Timeout | undefined

  constructor(options: EdgeThreadOptions) {
    this.#options = options
    this.#start()
  }

  /** @returns undefined when the thread is not there or too busy to answer. */
  status(): Promise<EdgeStatus | undefined> {
    if (!this.#worker) return Promise.resolve(undefined)
    const id = ++this.#asked
    return new Promise(resolve => {
      const settle = (status: EdgeStatus | undefined) => {
        clearTimeout(timer)
        this.#questions.delete(id)
        resolve(status)
      }
      const timer = setTimeout(() => settle(undefined), ANSWER_MS_MAX)
      this.#questions.set(id, settle)
      this.#order({ kind: 'ask', id })
    })
  }

  async stop(): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    this.#order({ kind: 'stop' })
    const timer = setTimeout(() => void this.#worker?.terminate(), STOP_MS_MAX)
    await this.#ended
    clearTimeout(timer)
  }

  #start(): void {
    const { planOf, logger } = this.#options
    const data: EdgeThreadData = { plan: planOf(), logLevel: logger.level }
    const worker = new Worker(edgeThreadFile!, { workerData: data, name: 'detector' })
    this.#worker = worker
    worker.on('message', (news: EdgeNews) => this.#hear(news))
    worker.on('error', error => {
      logger.error(
        { event: 'detector.thread_failed', error: String(error.stack ?? error) },
        'Detection failed by a fault of ours; readings are still accepted and delivered, it is started again.'
      )
    })
    this.#ended = new Promise(resolve => {
      worker.once('exit', () => {
        this.#worker = undefined
        if (!this.#stopping) this.#restart = setTimeout(() => this.#start(), RESTART_DELAY_MS)
        resolve()
      })
    })
  }

  #hear(news: EdgeNews): void {
    if (news.kind === 'store') void this.#store(news.id, news.frame)
    else if (news.kind === 'status') this.#questions.get(news.id)?.(news.status)
    else if (news.kind === 'gap') this.#options.onGap(news.gap)
    else if (news.kind === 'caught-up') this.#options.onCaughtUp(news.openAlerts)
  }

  async #store(id: number, frame: AlertFrame): Promise<void> {
    try {
      await this.#options.store(frame)
      this.#order({ kind: 'stored', id })
    } catch (error) {
      const code = error instanceof OperationalError ? error.code : 'DISK_FAILED'
      this.#order({ kind: 'stored', id, refusal: { code, message: messageOf(error) } })
    }
  }

  #order(order: EdgeOrder): void {
    this.#worker?.postMessage(order)
  }
}
