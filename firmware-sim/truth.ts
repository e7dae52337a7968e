import { access, constants, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { messageOf, OperationalError, systemCode } from '../core/runtime/errors.ts'
import type { FaultKind } from './fault.ts'

/** The metric of a label that concerns the whole device. */
export const WHOLE_DEVICE = '-'

/**
 * One injected fault as the evaluator wants it (CONTRACT, "Labels").
 *
 * `from` and `to` are epoch ms on the device's right clock, half-open: `from` is the time of the
 * first reading affected, `to` the time of the first one that is not. `magnitude` is in the
 * kind's own unit, see FAULTS in fault.ts.
 */
export interface Label {
  site: string
  device: string
  metric: string
  kind: FaultKind
  magnitude: number
  from: number
  to: number
}

/**
 * What had happened by `at` (epoch ms): later faults are left out, one under way ends there.
 */
export function labelsUntil(labels: readonly Label[], at: number): Label[] {
  return labels.filter(l => l.from < at).map(l => (l.to > at ? { ...l, to: at } : l))
}

/** One JSON object a line, in the order of `from`. */
export function truthText(labels: readonly Label[]): string {
  return [...labels]
    .sort((a, b) => a.from - b.from)
    .map(l => `${JSON.stringify(l)}\n`)
    .join('')
}

/** @throws {OperationalError} DIRECTORY_UNUSABLE: the file cannot be written. */
export async function writeTruth(file: string, labels: readonly Label[]): Promise<void> {
  await writeOutput(file, truthText(labels))
}

/** @throws {OperationalError} DIRECTORY_UNUSABLE: the file cannot be written. */
export async function writeOutput(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (error) {
    throw unwritable(file, error)
  }
}

/**
 * Asks whether the file could be written, without touching it.
 *
 * @throws {OperationalError} DIRECTORY_UNUSABLE: it could not.
 */
export async function checkWritable(file: string): Promise<void> {
  try {
    const found = await stat(file).catch(error => {
      if (systemCode(error) === 'ENOENT') return undefined
      throw error
    })
    if (found?.isDirectory()) throw Object.assign(new Error('a directory'), { code: 'EISDIR' })
    await access(found === undefined ? dirname(file) : file, constants.W_OK)
  } catch (error) {
    throw unwritable(file, error)
  }
}

function unwritable(file: string, error: unknown): OperationalError {
  return new OperationalError(
    'DIRECTORY_UNUSABLE',
    `Cannot write ${file}: ${systemCode(error) ?? messageOf(error)}. Give a path in a directory that exists and may be written.`,
    { cause: error }
  )
}
