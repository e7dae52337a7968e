import fs from 'node:fs'
import path from 'node:path'
import { systemCode } from '../../core/runtime/errors.ts'

/** The agent's directory as it is found; nothing is made or changed. */
export interface DataDirectory {
  directory: string
  /** Itself, or the nearest directory above it that exists. */
  existing: string
  /** `other`: there is something of that name, and it is no directory. */
  state: 'present' | 'absent' | 'other'
}

export function lookAt(directory: string): DataDirectory {
  let existing = path.resolve(directory)
  for (;;) {
    try {
      const isDirectory = fs.statSync(existing).isDirectory()
      const itself = existing === path.resolve(directory)
      const state = !isDirectory ? 'other' : itself ? 'present' : 'absent'
      return { directory, existing, state }
    } catch (error) {
      // Not allowed to look: the question of writing answers itself.
      if (systemCode(error) === 'EACCES') return { directory, existing, state: 'absent' }
    }
    const above = path.dirname(existing)
    if (above === existing) return { directory, existing, state: 'absent' }
    existing = above
  }
}

/** Far more than an agent has; a wrong path is not walked for ever. */
const FILES_MAX = 200_000

export interface Usage {
  bytes: number
  /** Files that belong to somebody else than `uid`; the first one, and how many. */
  foreign?: { first: string; uid: number; count: number }
}

/** What the files take, and whose they are. What goes while it looks is left out. */
export function usageOf(directory: string, uid: number): Usage {
  const usage: Usage = { bytes: 0 }
  const waiting = [directory]
  let files = 0
  for (let at = waiting.pop(); at !== undefined && files < FILES_MAX; at = waiting.pop()) {
    for (const name of namesIn(at)) {
      const file = path.join(at, name)
      const found = fs.lstatSync(file, { throwIfNoEntry: false })
      if (!found) continue
      files++
      if (found.isDirectory()) waiting.push(file)
      else usage.bytes += found.size
      if (found.uid === uid) continue
      usage.foreign ??= { first: file, uid: found.uid, count: 0 }
      usage.foreign.count++
    }
  }
  return usage
}

/** A log's directory that this user may not read shows when it is verified. */
function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch {
    return []
  }
}
