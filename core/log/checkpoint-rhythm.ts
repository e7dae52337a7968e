import type { Checkpoint } from './checkpoint.ts'

/** A reader that moved by fewer can wait: as many records a power loss may repeat. */
const MOVED_RECORDS_MAX = 32
/** So old may a cursor get. */
const CURSOR_MS_MAX = 5_000
/** Nothing but the end moved: for who looks on from outside. */
const END_MS_MAX = 10_000
/** A start looks through as much of the last segment, and little more. */
const TAIL_STEP_BYTES = 4 << 20

/**
 * When a checkpoint is worth its wear: two syncs and two pages, which at ten records a second would
 * be a third of all that the log costs a flash disk.
 */
export class CheckpointRhythm {
  #saved: Checkpoint | undefined
  #savedText = ''
  /** Monotonic, ms. */
  #savedAt = 0

  /** @param wanted By somebody who waits for it: then any change counts. */
  isDue(next: Checkpoint, now: number, wanted: boolean): boolean {
    if (!this.#saved || textOf(next) !== this.#savedText) return true
    const moved = movedRecords(this.#saved, next)
    const endMoved = next.end.offset !== this.#saved.end.offset
    if (wanted) return moved > 0 || endMoved
    const elapsedMs = now - this.#savedAt
    if (moved >= MOVED_RECORDS_MAX || (moved > 0 && elapsedMs >= CURSOR_MS_MAX)) return true
    return endMoved && elapsedMs >= END_MS_MAX
  }

  saved(checkpoint: Checkpoint, now: number): void {
    this.#saved = checkpoint
    this.#savedText = textOf(checkpoint)
    this.#savedAt = now
  }
}

/** What is saved as soon as it changes. */
function textOf({ cursors, notes, clean, end, tail }: Checkpoint): string {
  const epochs = Object.entries(cursors).map(([name, { epoch }]) => [name, epoch])
  const steps = Math.floor((tail?.position ?? 0) / TAIL_STEP_BYTES)
  return JSON.stringify([epochs, notes, clean, end.epoch, tail?.first, steps])
}

/** By how much the reader that moved most did, in either direction. */
function movedRecords(before: Checkpoint, next: Checkpoint): number {
  const moves = Object.entries(next.cursors).map(([name, { offset }]) =>
    Math.abs(offset - (before.cursors[name]?.offset ?? 0))
  )
  return Math.max(0, ...moves)
}
