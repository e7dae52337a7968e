import { statSync } from 'node:fs'
import type { Output } from './log/output.ts'
import { bytesText, count, durationText } from './log/text.ts'
import { barOf, clip, thousands, widthOf } from './terminal/text.ts'

/** Shown once it takes longer than a person waits without asking, and not more often than read. */
const FIRST_MS = 500
const EVERY_MS = 100
const BAR_COLUMNS = 24
/** An end that is further away is a guess. */
const LEFT_MS_MIN = 5_000

export interface ProgressOptions {
  /** What is counted, in the singular. */
  unit?: string
  stream?: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>
  env?: Readonly<Record<string, string | undefined>>
  /** Monotonic ms. */
  now?: () => number
}

/**
 * One line about long work on standard error, if that is a terminal; written over and taken away in
 * the end. It needs no escape codes.
 */
export class Progress {
  readonly #what: string
  readonly #unit: string
  readonly #stream: NonNullable<ProgressOptions['stream']>
  readonly #now: () => number
  readonly #isWanted: boolean
  readonly #startedAt: number
  #shownAt = Number.NEGATIVE_INFINITY
  #columns = 0

  constructor(what: string, options: ProgressOptions = {}) {
    const { unit = 'byte', stream = process.stderr, env = process.env } = options
    this.#what = what
    this.#unit = unit
    this.#stream = stream
    this.#now = options.now ?? (() => performance.now())
    this.#isWanted = stream.isTTY === true && env.TERM !== 'dumb'
    this.#startedAt = this.#now()
  }

  /** @param total undefined where the end is not known. */
  readonly update = (done: number, total?: number): void => {
    if (!this.#isDue()) return
    const elapsedMs = this.#now() - this.#startedAt
    const speed = `${this.#amount((done / elapsedMs) * 1000)}/s`
    if (total === undefined) {
      this.#write(`${this.#amountOf(done)}, ${speed}`)
      return
    }
    const part = total > 0 ? Math.min(1, done / total) : 1
    const leftMs = part > 0 ? (elapsedMs * (1 - part)) / part : 0
    const left = leftMs >= LEFT_MS_MIN ? `, about ${durationText(leftMs)} left` : ''
    const percent = String(Math.floor(part * 100)).padStart(3)
    const amounts = `${this.#amount(done)} of ${this.#amountOf(total)}`
    this.#write(`${barOf(part, BAR_COLUMNS)} ${percent} %  ${amounts}, ${speed}${left}`)
  }

  /** For what counts bytes. */
  readonly show = ({ bytes, bytesTotal }: { bytes: number; bytesTotal: number }): void =>
    this.update(bytes, bytesTotal)

  /** What has words of its own. */
  readonly say = (text: string): void => {
    if (this.#isDue()) this.#write(text)
  }

  /** What cannot be measured, and for how long it has been going on. */
  readonly wait = (): void => {
    this.say(durationText(this.#now() - this.#startedAt))
  }

  /** Another line is to be written: this one makes room. */
  readonly clear = (): void => {
    if (this.#columns > 0) this.#stream.write(`\r${' '.repeat(this.#columns)}\r`)
    this.#columns = 0
  }

  /** Results that are told on the way, without the line in between. */
  beside(output: Output): Output {
    return {
      write: chunk => {
        this.clear()
        return output.write(chunk)
      },
      end: () => output.end()
    }
  }

  /** Takes it away. */
  end(): void {
    this.clear()
  }

  #isDue(): boolean {
    const now = this.#now()
    if (!this.#isWanted || now - this.#startedAt < FIRST_MS) return false
    if (now - this.#shownAt < EVERY_MS) return false
    this.#shownAt = now
    return true
  }

  #write(text: string): void {
    const line = clip(`${this.#what}  ${text}`, (this.#stream.columns || 80) - 1)
    const width = widthOf(line)
    this.#stream.write(`\r${line}${' '.repeat(Math.max(0, this.#columns - width))}`)
    this.#columns = width
  }

  #amount(n: number): string {
    return this.#unit === 'byte' ? bytesText(n) : thousands(n)
  }

  #amountOf(n: number): string {
    return this.#unit === 'byte' ? bytesText(n) : count(Math.round(n), this.#unit)
  }
}

/** Shows it now and again while the work is under way, whether that ends well or not. */
export async function whileWaiting<T>(progress: Progress, work: () => Promise<T>): Promise<T> {
  const timer = setInterval(progress.wait, 1000).unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
    progress.end()
  }
}

/** Bytes of the files together; undefined when one of them has no size, as standard input. */
export function sizeOfFiles(files: readonly string[]): number | undefined {
  let sum = 0
  for (const file of files) {
    const found = statSync(file, { throwIfNoEntry: false })
    if (!found?.isFile()) return undefined
    sum += found.size
  }
  return sum
}

/** Of files that are read side by side: to be told of each piece. */
export function readingOf(progress: Progress, files: readonly string[]): (bytes: number) => void {
  const total = sizeOfFiles(files)
  let read = 0
  return bytes => {
    read += bytes
    progress.update(read, total)
  }
}
