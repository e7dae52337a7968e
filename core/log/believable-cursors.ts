import type { Logger } from '../runtime/log.ts'
import type { ControlBlock } from './control-block.ts'
import type { Cursor } from './reader.ts'

/** What a cursor is held against. */
export interface KnownLog {
  control: ControlBlock
  /** Of the segment that the offset falls into. */
  epochAt: (offset: number) => string | undefined
  /** The present one. */
  epoch: string
  logger: Logger
}

/** Of a checkpoint's cursors those that lie within their epoch; the others begin anew. */
export function believableCursors(
  cursors: Record<string, Cursor>,
  { control, epochAt, epoch: present, logger }: KnownLog
): Map<string, Cursor> {
  const { firstKept, durableEnd } = control
  const believed = new Map<string, Cursor>()
  for (const [name, cursor] of Object.entries(cursors)) {
    const { epoch, offset } = cursor
    // Just behind the last record of its epoch it is as good as at the next one's first.
    const within = epochAt(offset) === epoch || epochAt(offset - 1) === epoch
    if (offset === firstKept || (within && offset > firstKept && offset <= durableEnd)) {
      believed.set(name, cursor)
      continue
    }
    believed.set(name, { epoch: epochAt(firstKept) ?? present, offset: firstKept })
    logger.warn(
      { event: 'log.cursor_unbelievable', reader: name, cursor, oldest: firstKept },
      'A saved cursor does not lie within its epoch, or its records are gone: the reader begins at the oldest record kept; records may be delivered again.'
    )
  }
  return believed
}
