import { parseEpoch } from '../../core/contract/event-id.ts'
import type { Cursor } from '../../core/log/reader.ts'

/** Order of positions in one log: by the epoch's generation, then by offset. */
export function comparePositions(a: Cursor, b: Cursor): number {
  return generation(a.epoch) - generation(b.epoch) || a.offset - b.offset
}

function generation(epoch: string): number {
  return parseEpoch(epoch)?.generation ?? 0
}
