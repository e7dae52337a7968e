import fs from 'node:fs'
import os from 'node:os'
import { systemCode } from '../../core/runtime/errors.ts'

/** What a file system says of itself. */
export interface FileSystem {
  /** For a user without privileges. */
  freeBytes: number
  /** Undefined for those that nobody needs warning of. */
  kind: 'memory' | 'network' | undefined
}

/** The machine as the checks see it: tests put another in its place. */
export interface Machine {
  /** Epoch ms. */
  now(): number
  uid: number
  /** @throws The system's error. */
  fileSystemOf(path: string): FileSystem
  /** The system's code of why this user cannot write in the directory; undefined when it can. */
  whyNotWritable(directory: string): string | undefined
  /** Open files that this process may have; undefined where the system does not tell. */
  descriptorsMax(): number | undefined
  /** What is there for this process: RAM, or the control group's limit if that is less. */
  memoryBytes(): number
}

/** Source: statfs(2), `f_type`. */
const KINDS: Readonly<Record<number, FileSystem['kind']>> = {
  16914836: 'memory', // tmpfs
  2240043254: 'memory', // ramfs
  26985: 'network', // NFS
  4283649346: 'network', // CIFS
  4266872130: 'network', // SMB2
  1397703499: 'network' // SMB
}

export const thisMachine: Machine = {
  now: Date.now,
  uid: process.getuid?.() ?? 0,

  fileSystemOf(path) {
    const { bavail, bsize, type } = fs.statfsSync(path)
    // Some platforms tell it with a sign.
    return { freeBytes: bavail * bsize, kind: KINDS[type >>> 0] }
  },

  whyNotWritable(directory) {
    try {
      fs.accessSync(directory, fs.constants.W_OK | fs.constants.X_OK)
      return undefined
    } catch (error) {
      return systemCode(error) ?? 'unknown error'
    }
  },

  descriptorsMax() {
    try {
      const limits = fs.readFileSync('/proc/self/limits', 'utf8')
      const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
      return soft === undefined || soft === 'unlimited' ? undefined : Number(soft)
    } catch {
      return undefined
    }
  },

  memoryBytes() {
    const constrained = process.constrainedMemory?.() ?? 0
    const total = os.totalmem()
    return constrained > 0 ? Math.min(constrained, total) : total
  }
}
