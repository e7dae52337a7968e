import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'

export interface Scratch {
  readonly directory: string
  remove(): void
}

/** A directory of this run; gone with this process at the latest, unless that is killed. */
export function makeScratch(name: string): Scratch {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), `fieldline-bench-${name}-`))
  const removeFiles = () => fs.rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  const removeAtExit = () => {
    try {
      removeFiles()
    } catch {
      // Whoever writes there is about to end; an exception would keep other listeners from their work.
    }
  }
  process.prependOnceListener('exit', removeAtExit)
  return {
    directory,
    remove() {
      process.off('exit', removeAtExit)
      removeFiles()
    }
  }
}
