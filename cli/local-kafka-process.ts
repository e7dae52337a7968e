import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** A process and the moment it began: a reused process id has another `startMark`. */
export interface ProcessIdentity {
  pid: number
  startMark: string
}

/**
 * What tells this process from a later one with the same id; undefined when none runs (a zombie
 * does not run). Linux: boot id and start time in ticks (proc(5), field 22). Elsewhere: `ps`.
 */
export function startMarkOf(pid: number): string | undefined {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
      // The name in parentheses may hold spaces and parentheses itself; state is field 3.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      // While other threads of a killed process are dying, its first is a zombie already, but the
      // ports and files are still held.
      const zombie = fields[0] === 'Z' || fields[0] === 'X'
      if (zombie && readdirSync(`/proc/${pid}/task`).length <= 1) return undefined
      const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
      return `${boot}/${fields[19]}`
    } catch {
      return undefined
    }
  }
  try {
    const started = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { stdio: 'pipe' })
    return started.toString().trim() || undefined
  } catch {
    return undefined
  }
}

export function isRunning({ pid, startMark }: ProcessIdentity): boolean {
  return startMarkOf(pid) === startMark
}

/** Sends the signal if, and only if, the process is still the one we started. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false
  try {
    return process.kill(identity.pid, signal)
  } catch {
    return false
  }
}

/** @returns Whether the process ended within the limit. There is no event for somebody else's child. */
export async function waitForEnd(identity: ProcessIdentity, limitMs: number): Promise<boolean> {
  const end = performance.now() + limitMs
  while (isRunning(identity)) {
    if (performance.now() >= end) return false
    await delay(25)
  }
  return true
}
