import { parseEpoch } from '../../core/contract/event-id.ts'
import type { Cursor } from '../../core/log/reader.ts'

/** Order of positions of one stream: by the epoch's generation, then by offset. */
export function comparePositions(a: Cursor, b: Cursor): number {
  return generation(a.epoch) - generation(b.epoch) || a.offset - b.offset
}

/** Kafka's positions have no epoch, and only one generation. */
function generation(epoch: string): number {
  return parseEpoch(epoch)?.generation ?? 0
}
