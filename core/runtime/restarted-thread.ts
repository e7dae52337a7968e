import { type ResourceLimits, Worker } from 'node:worker_threads'
import { messageOf } from './errors.ts'

export interface RestartedThreadOptions<News> {
  file: URL
  name: string
  /** What the thread is started with; made anew for each start. */
  dataOf: () => unknown
  onNews: (news: News) => void
  /** The thread ended by itself; it is started again after `waitMs`. */
  onFault: (fault: string, waitMs: number) => void
  /** Awaited before it is started again: what its former life left under way. */
  settled?: () => Promise<unknown>
  /** Of its heap. A thread that comes to the limit of its old space ends. */
  resourceLimits?: ResourceLimits
  /** After the first fault; then twice as long each time. */
  waitMsMin?: number
}

const WAIT_MS_MIN = 1_000
const WAIT_MS_MAX = 60_000
/** A thread that lived so long was well: its fault is a first one again. */
const WELL_MS = 60_000

/**
 * A worker thread that is started again when it ends by itself. One that fails again and again is
 * left alone for longer each time, up to a minute: it must not fill the log, nor eat a core.
 */
export class RestartedThread<Order, News> {
  readonly #options: RestartedThreadOptions<News>
  #worker: Worker | undefined
  #startedAt = 0
  #faults = 0
  #faultsInAll = 0
  #stopping = false
  #restart: NodeJS.Timeout | undefined
  #ended: Promise<void> = Promise.resolve()
  /** Of former lives, and in all as last looked at. */
  #busyMsBefore = 0
  #busyMs = 0

  constructor(options: RestartedThreadOptions<News>) {
    this.#options = options
    this.#start()
  }

  get running(): boolean {
    return this.#worker !== undefined
  }

  /**
   * How long its event loop has been at work rather than waiting, over all its lives. Read from
   * outside: asking costs the thread nothing.
   */
  get busyMs(): number {
    const { active = 0 } = this.#worker?.performance.eventLoopUtilization() ?? {}
    // Of one that is just starting or ending nothing is known.
    this.#busyMs = Math.max(this.#busyMs, this.#busyMsBefore + active)
    return this.#busyMs
  }

  /** How often it ended by itself. */
  get faults(): number {
    return this.#faultsInAll
  }

  /** Lost if the thread is not running. */
  order(order: Order): void {
    this.#worker?.postMessage(order)
  }

  /**
   * Ends it as `stop` does, then starts it again with what `dataOf` says now. Not while it is being
   * stopped.
   */
  async replace(order: Order, limitMs: number): Promise<void> {
    await this.stop(order, limitMs)
    await this.#options.settled?.()
    this.#stopping = false
    this.#faults = 0
    this.#start()
  }

  /** Waits for the thread to end as ordered; ends it by force after `limitMs`. */
  async stop(order: Order, limitMs: number): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    this.order(order)
    const timer = setTimeout(() => void this.#worker?.terminate(), limitMs)
    await this.#ended
    clearTimeout(timer)
  }

  /** Ends it at once: for one that was ordered to stop and is held up by a dead connection alone. */
  end(): void {
    if (this.#stopping) void this.#worker?.terminate()
  }

  #start(): void {
    const { file, name, dataOf, onNews, resourceLimits } = this.#options
    const worker = new Worker(file, { workerData: dataOf(), name, resourceLimits })
    this.#worker = worker
    this.#startedAt = performance.now()
    let fault: string | undefined
    worker.on('message', onNews)
    worker.on('error', error => {
      fault = error instanceof Error ? (error.stack ?? error.message) : String(error)
    })
    this.#ended = new Promise(resolve => {
      worker.once('exit', code => {
        this.#worker = undefined
        this.#busyMsBefore = this.#busyMs
        if (!this.#stopping || fault !== undefined) this.#onEnd(fault ?? `it ended with ${code}`)
        resolve()
      })
    })
  }

  #onEnd(fault: string): void {
    this.#faultsInAll++
    if (performance.now() - this.#startedAt > WELL_MS) this.#faults = 0
    const { onFault, waitMsMin = WAIT_MS_MIN } = this.#options
    const waitMs = Math.min(WAIT_MS_MAX, waitMsMin * 2 ** Math.min(this.#faults++, 16))
    onFault(fault, waitMs)
    if (!this.#stopping) this.#restart = setTimeout(() => void this.#startAgain(), waitMs)
  }

  async #startAgain(): Promise<void> {
    try {
      await this.#options.settled?.()
      if (!this.#stopping && !this.#worker) this.#start()
    } catch (error) {
      this.#onEnd(messageOf(error))
    }
  }
}
