import fs from 'node:fs'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { type RepairReport, repairLog } from '../../core/log/repair.ts'
import { type DirectoryLock, lockDirectory } from '../../core/runtime/directory-lock.ts'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import { Progress } from '../progress.ts'
import type { LogPlace } from './places.ts'

export interface Repaired {
  place: LogPlace
  report: RepairReport
}

/**
 * Repairs the logs of one data directory, under its lock.
 *
 * @throws {OperationalError} DIRECTORY_LOCKED: an agent runs there. DIRECTORY_UNUSABLE: it cannot
 *   be written, or belongs to another user, whose agent could not use what is made new.
 */
export async function repairPlaces(places: LogPlace[], dryRun: boolean): Promise<Repaired[]> {
  const done: Repaired[] = []
  let lock: DirectoryLock | undefined
  try {
    for (const place of places) {
      if (!dryRun) checkOwner(place.directory)
      lock ??= await lockDirectory(place.dataDirectory)
      done.push({ place, report: await repairPlace(place, dryRun) })
    }
    return done
  } finally {
    lock?.release()
  }
}

async function repairPlace({ lane, directory }: LogPlace, dryRun: boolean): Promise<RepairReport> {
  const progress = new Progress(`repair ${lane}`)
  try {
    return await repairLog(nodeDisk, directory, { dryRun, onProgress: progress.show })
  } catch (error) {
    if (error instanceof OperationalError || !systemCode(error)) throw error
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `The log ${directory} cannot be repaired: ${messageOf(error)}. What was done until then is whole; clear the cause and run the repair again.`,
      { cause: error }
    )
  } finally {
    progress.end()
  }
}

function checkOwner(directory: string): void {
  const { uid } = fs.statSync(directory)
  const own = process.getuid?.() ?? uid
  if (uid === own) return
  throw new OperationalError(
    'DIRECTORY_UNUSABLE',
    `The directory ${directory} belongs to user ${uid}, not to ${own}: what a repair makes new could not be used by its agent. Run it as that user (sudo -u '#${uid}').`
  )
}
