import path from 'node:path'
import { systemCode } from '../runtime/errors.ts'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'
import { isNoSpace } from './quarantine.ts'

/**
 * Stands while something that must end in a new epoch is under way: a crash between taking bytes or
 * a segment away and making the new segment would leave nothing that tells.
 */
export const NEW_EPOCH_NAME = 'new-epoch'

/** Text form of a new epoch that follows the given generations. */
export function nextEpoch(generations: number[], random: (bytes: number) => Buffer): string {
  return `${1 + Math.max(0, ...generations)}-${random(8).toString('hex')}`
}

export function generation(epoch: string): number {
  return Number(epoch.split('-')[0])
}

/** Durable once it resolves; before the first change that takes the reason for it away. */
export async function markNewEpoch(disk: Disk, directory: string): Promise<void> {
  try {
    const file = await disk.open(path.join(directory, NEW_EPOCH_NAME), 'create')
    await file.close()
  } catch (error) {
    // On a full disk it has to go without: a second crash within this is rarer still.
    if (isNoSpace(error)) return
    if (systemCode(error) !== 'EEXIST') throw error
  }
  await disk.syncDirectory(directory).catch(error => {
    if (!isNoSpace(error)) throw error
  })
}

/** Where a crash brings it back, one more epoch begins: no harm. */
export function unmarkNewEpoch(disk: Disk, directory: string): Promise<void> {
  return unlinkIfPresent(disk, path.join(directory, NEW_EPOCH_NAME))
}
