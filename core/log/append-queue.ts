import type { OperationalError } from '../runtime/errors.ts'

interface PendingAppend {
  payloads: readonly Uint8Array[]
  bytes: number
  resolve: (first: number) => void
  reject: (error: OperationalError) => void
}

export interface AppendQueueOptions {
  /** A single larger append is a group of its own. */
  groupBytesMax: number
  groupRecordsMax: number
  /** Lets company come before the first group. */
  gather: () => Promise<void>
  /** Stores one group; rejects with nothing but an OperationalError. */
  commit: (payloads: Uint8Array[], bytes: number) => Promise<number>
  /** Work that must not run beside a commit; runs between groups. Never rejects. */
  housekeep: () => Promise<void>
}

/**
 * Group commit: what arrives while one group is being stored goes with the next. Appends settle in
 * the order of their calls. Bounded by its callers: each waits for its append.
 */
export class AppendQueue {
  readonly #options: AppendQueueOptions
  #pending: PendingAppend[] = []
  #running: Promise<void> | undefined
  #tasks: (() => Promise<void>)[] = []
  #wanted = false

  constructor(options: AppendQueueOptions) {
    this.#options = options
  }

  push(payloads: readonly Uint8Array[], bytes: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ payloads, bytes, resolve, reject })
      this.#kick()
    })
  }

  /** Runs the task soon, between groups. */
  run<T>(task: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(() => task().then(resolve, reject))
      this.#kick()
    })
  }

  /** Runs `housekeep` soon, between groups. */
  wantHousekeeping(): void {
    this.#wanted = true
    this.#kick()
  }

  /** Resolves when nothing is pending or under way. */
  async settled(): Promise<void> {
    while (this.#running) await this.#running
  }

  rejectAll(error: OperationalError): void {
    for (const append of this.#pending.splice(0)) append.reject(error)
  }

  #kick(): void {
    if (this.#running) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      if (this.#busy) this.#kick()
    })
  }

  async #run(): Promise<void> {
    if (this.#pending.length > 0) await this.#options.gather()
    while (this.#busy) {
      if (this.#wanted) {
        this.#wanted = false
        await this.#options.housekeep()
      }
      for (const task of this.#tasks.splice(0)) await task()
      const group = this.#takeGroup()
      if (group.length > 0) await this.#store(group)
    }
  }

  get #busy(): boolean {
    return this.#pending.length > 0 || this.#tasks.length > 0 || this.#wanted
  }

  async #store(group: PendingAppend[]): Promise<void> {
    const payloads = group.flatMap(append => append.payloads)
    const bytes = group.reduce((sum, append) => sum + append.bytes, 0)
    try {
      let offset = await this.#options.commit(payloads, bytes)
      for (const append of group) {
        append.resolve(offset)
        offset += append.payloads.length
      }
    } catch (error) {
      for (const append of group) append.reject(error as OperationalError)
    }
  }

  #takeGroup(): PendingAppend[] {
    const { groupBytesMax, groupRecordsMax } = this.#options
    let bytes = 0
    let records = 0
    let count = 0
    for (const append of this.#pending) {
      bytes += append.bytes
      records += append.payloads.length
      if (count > 0 && (bytes > groupBytesMax || records > groupRecordsMax)) break
      count++
    }
    return this.#pending.splice(0, count)
  }
}
