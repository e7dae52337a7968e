import type { Overflow, SyncMode } from '../../core/log/log.ts'
import type { Prng } from '../../core/runtime/prng.ts'
import { type Faults, NO_FAULTS } from '../kit/fault-disk.ts'

/** What a seed decides once. */
export interface Plan {
  bytesMax: number
  segmentBytes: number
  overflow: Overflow
  sync: SyncMode
  faults: Faults
  capacityBytes: number
  /** Chance that a synced byte has changed when the process comes back. */
  rots: number
  /** Chance that an older copy of the disk is put back between two lives. */
  restores: number
  /** Chance, an append, that the next sync of a file or of the directory fails, and no other. */
  oneSyncFails: number
  /** Readers mostly find what an earlier life has left. */
  readsLate: boolean
  /** Chance that a life after the death of a process only reads, and then power is lost. */
  quietLives: number
  /** Of files beside the log that share its limit. */
  sharedBytes: number
  softLagMax: number
  recordBytesMax: number
}

export function plan(prng: Prng): Plan {
  const segmentBytes = prng.pick([6000, 8192, 16_384])
  const bytesMax = segmentBytes * prng.pick([3, 4, 8]) + 28_672
  const trouble = prng.pick([0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 8, 7, 8, 9, 10])
  const faults = {
    syncFails: trouble === 0 ? 0.06 : trouble === 9 ? 0.1 : 0,
    writeFails: trouble === 1 || trouble === 9 ? 0.02 : 0,
    noSpace: trouble === 2 ? 0.05 : trouble === 9 ? 0.15 : 0
  }
  return {
    bytesMax,
    segmentBytes,
    overflow: prng.pick(['drop_oldest', 'drop_oldest', 'drop_newest', 'block'] as const),
    sync: prng.pick(['group', 'group', 'group', 'group', 'interval', 'never'] as const),
    faults: trouble < 3 || trouble === 9 ? faults : NO_FAULTS,
    capacityBytes: trouble === 3 ? Math.floor(bytesMax * 0.7) + 20_000 : Number.POSITIVE_INFINITY,
    readsLate: prng.chance(0.5),
    oneSyncFails: trouble === 7 || trouble === 8 ? prng.pick([0.05, 0.2]) : 0,
    restores: trouble === 6 ? 0.5 : 0,
    rots: trouble === 4 || trouble === 5 ? 0.6 : 0,
    quietLives: prng.pick([0.2, 0.5]),
    sharedBytes: prng.pick([0, 0, Math.floor(bytesMax / 5)]),
    softLagMax: prng.pick([0, 5, 50, 100_000]),
    recordBytesMax: Math.floor(segmentBytes * 1.2)
  }
}
