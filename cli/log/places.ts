import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'

export const LANES = ['telemetry', 'alerts'] as const
export type Lane = (typeof LANES)[number]

/** One log to be looked at. */
export interface LogPlace {
  /** What its records are read as; a log of unknown name is read as telemetry. */
  lane: Lane
  directory: string
  /** Holds the lock: the agent's data directory, or the log's own where there is none. */
  dataDirectory: string
  /** For ids; absent where no agent has left its name. */
  agentId?: string
}

/**
 * The logs that a person means with DIR: the agent's data directory, or a log directory itself.
 *
 * @throws {OperationalError} INPUT_UNREADABLE: there is no such directory, or no log in it.
 */
export function findLogs(directory: string, lane: Lane | undefined): LogPlace[] {
  const names = namesIn(directory)
  const lanes = LANES.filter(name => names.includes(name))
  if (lanes.length === 0 && names.some(isOfLog)) return [logItself(directory, lane)]
  const found = lanes.filter(name => lane === undefined || name === lane)
  if (found.length === 0) {
    const what = lane && lanes.length > 0 ? `no ${lane} log` : 'no log'
    throw new OperationalError(
      'INPUT_UNREADABLE',
      `There is ${what} in ${directory}. Give the agent's data directory (agent.data, which holds telemetry/ and alerts/), or one of these.`
    )
  }
  return found.map(name => ({
    lane: name,
    directory: path.join(directory, name),
    dataDirectory: directory,
    ...agentIdIn(directory)
  }))
}

function logItself(directory: string, lane: Lane | undefined): LogPlace {
  const parent = path.dirname(path.resolve(directory))
  const name = path.basename(path.resolve(directory))
  const owned = ['lock', 'agent.json'].some(file => fs.existsSync(path.join(parent, file)))
  return {
    lane: lane ?? LANES.find(each => each === name) ?? 'telemetry',
    directory,
    dataDirectory: owned ? parent : directory,
    ...agentIdIn(parent)
  }
}

function isOfLog(name: string): boolean {
  return name === 'checkpoint' || name === 'quarantine' || /^\d{20}\.seg$/.test(name)
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (error) {
    throw unreadable(directory, error)
  }
}

function agentIdIn(directory: string): { agentId: string } | Record<string, never> {
  try {
    const { agentId } = JSON.parse(fs.readFileSync(path.join(directory, 'agent.json'), 'utf8'))
    return typeof agentId === 'string' ? { agentId } : {}
  } catch {
    return {}
  }
}

/**
 * Whether a process owns the log. Asked with a shared lock for the wink of an eye, which is the one
 * question that containers and crashed agents answer rightly; without the program `flock` the log
 * is taken for a live one, which is the more lenient.
 */
export function isOwned({ dataDirectory }: LogPlace): boolean {
  let fd: number
  try {
    fd = fs.openSync(path.join(dataDirectory, 'lock'), 'r')
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    throw unreadable(path.join(dataDirectory, 'lock'), error)
  }
  try {
    const stdio = ['ignore', 'ignore', 'ignore', fd] as const
    return spawnSync('flock', ['-n', '-s', '3'], { stdio: [...stdio] }).status !== 0
  } finally {
    fs.closeSync(fd)
  }
}

/** Gives the disk's own errors their sentence. */
export async function reading<T>({ directory }: LogPlace, task: () => Promise<T>): Promise<T> {
  try {
    return await task()
  } catch (error) {
    if (error instanceof OperationalError || !systemCode(error)) throw error
    throw unreadable(directory, error)
  }
}

export function unreadable(what: string, error: unknown): OperationalError {
  return new OperationalError(
    'INPUT_UNREADABLE',
    `${what} cannot be read: ${messageOf(error)}. Give a directory that exists and that this user may read.`,
    { cause: error }
  )
}
