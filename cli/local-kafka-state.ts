import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, OperationalError, systemCode } from '../core/runtime/errors.ts'
import { isRunning, type ProcessIdentity, startMarkOf } from './local-kafka-process.ts'

/** What a data directory remembers of its broker, so that any process can stop or adopt it. */
export type BrokerState =
  | (ProcessIdentity & { engine: 'java'; port: number; controllerPort: number })
  | { engine: 'docker'; port: number; container: string }

const STATE_FILE = 'broker.json'
const LOCK_FILE = 'start.lock'

export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true })
  } catch (cause) {
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `Cannot create ${dataDir} for Kafka's data: ${messageOf(cause)}. Choose another with --data.`,
      { cause }
    )
  }
}

/** @returns Undefined when there is none, or none that can be read: no state keeps Kafka from starting. */
export async function readState(dataDir: string): Promise<BrokerState | undefined> {
  try {
    const state = JSON.parse(await readFile(join(dataDir, STATE_FILE), 'utf8')) as BrokerState
    return typeof state.port === 'number' ? state : undefined
  } catch {
    return undefined
  }
}

export async function writeState(dataDir: string, state: BrokerState): Promise<void> {
  const aside = join(dataDir, `${STATE_FILE}.${randomUUID()}`)
  await writeFile(aside, `${JSON.stringify(state)}\n`)
  await rename(aside, join(dataDir, STATE_FILE))
}

/**
 * Lets one process at a time start a broker in the directory; a second waits for the first, a lock
 * whose process has ended does not count.
 *
 * @returns The release.
 * @throws {OperationalError} DIRECTORY_LOCKED after the limit; DIRECTORY_UNUSABLE.
 */
export async function lockStart(
  dataDir: string,
  limitMs: number,
  signal?: AbortSignal
): Promise<() => Promise<void>> {
  const lock = join(dataDir, LOCK_FILE)
  const aside = `${lock}.${randomUUID()}`
  const own: ProcessIdentity = { pid: process.pid, startMark: startMarkOf(process.pid) ?? '' }
  const end = performance.now() + limitMs
  try {
    await writeFile(aside, JSON.stringify(own))
    for (;;) {
      signal?.throwIfAborted()
      try {
        // A link appears whole, with its content, or not at all.
        await link(aside, lock)
        return () => rm(lock, { force: true })
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error
      }
      if (!holderRuns(lock)) await rm(lock, { force: true })
      else if (performance.now() >= end) {
        throw new OperationalError(
          'DIRECTORY_LOCKED',
          `Another process has been starting a Kafka in ${dataDir} for a long time; wait for it, or choose another directory.`
        )
      } else await delay(100)
    }
  } catch (cause) {
    if (cause instanceof OperationalError || signal?.aborted) throw cause
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `Cannot write in ${dataDir}, Kafka's data directory: ${messageOf(cause)}. Choose another with --data.`,
      { cause }
    )
  } finally {
    await rm(aside, { force: true }).catch(() => {})
  }
}

function holderRuns(lock: string): boolean {
  try {
    return isRunning(JSON.parse(readFileSync(lock, 'utf8')) as ProcessIdentity)
  } catch (error) {
    return systemCode(error) !== 'ENOENT' && !(error instanceof SyntaxError)
  }
}
