import fs from 'node:fs'
import { messageOf } from './errors.ts'

/** A file that an operator exchanges is noticed after so long at most. */
const LOOK_INTERVAL_MS = 3_000

/**
 * Files that may be exchanged while the process runs. Looks at them every few seconds: a watch by the
 * system would miss a mount that is exchanged, and an editor that renames.
 */
export class WatchedFiles {
  readonly #paths: readonly string[]
  readonly #onChange: () => void
  readonly #timer: NodeJS.Timeout
  #seen: string
  #looking = false

  constructor(paths: readonly string[], onChange: () => void, intervalMs = LOOK_INTERVAL_MS) {
    this.#paths = paths
    this.#onChange = onChange
    this.#seen = paths.map(path => stampOf(statNow(path))).join('\n')
    this.#timer = setInterval(() => void this.look(), intervalMs).unref()
  }

  /** Calls back if a file is another one, or was written, since the last look. */
  async look(): Promise<void> {
    // A mount that hangs must not gather calls.
    if (this.#looking) return
    this.#looking = true
    try {
      const stamps: string[] = []
      for (const path of this.#paths) {
        stamps.push(stampOf(await fs.promises.stat(path, { bigint: true }).catch(() => undefined)))
      }
      const seen = stamps.join('\n')
      if (seen === this.#seen) return
      this.#seen = seen
      this.#onChange()
    } finally {
      this.#looking = false
    }
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

function statNow(path: string): fs.BigIntStats | undefined {
  return fs.statSync(path, { bigint: true, throwIfNoEntry: false })
}

function stampOf(stat: fs.BigIntStats | undefined): string {
  return stat ? `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}` : 'absent'
}

/**
 * @param bytesMax A larger one is refused.
 * @throws {SyntaxError} fit for the author of the configuration: the file's name and what is wrong.
 */
export function readSmallFile(path: string, bytesMax: number): string {
  try {
    const { size } = fs.statSync(path)
    if (size <= bytesMax) return fs.readFileSync(path, 'utf8')
  } catch (error) {
    throw new SyntaxError(`${path} cannot be read: ${messageOf(error)}`)
  }
  throw new SyntaxError(`${path} is larger than ${bytesMax} bytes`)
}
