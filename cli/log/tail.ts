import { loadLosses } from '../../core/log/losses.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import type { LogRecord } from '../../core/log/reader.ts'
import { OfflineReader, rangeOfLast, settledEnd } from '../../core/log/tail.ts'
import { pause } from '../../core/runtime/deadline.ts'
import { passedText } from './export.ts'
import type { Output } from './output.ts'
import { isOwned, type LogPlace, reading } from './places.ts'
import { type Entry, entriesOf, jsonLine } from './records.ts'
import { isSelected, type Selection } from './select.ts'
import { printable, timeText } from './text.ts'

export interface TailOptions extends Selection {
  lines: number
  follow: boolean
  json: boolean
  /** Also what no checkpoint covers yet, of a log that another process owns. */
  unsettled: boolean
  signal: AbortSignal
  onPassed: (message: string) => void
}

/** How often it is looked for more: two small reads each time. */
const POLL_MS = 300

/**
 * Writes the last records, and then, with `follow`, what comes, until the signal aborts.
 *
 * Of a log that another process owns it shows what surely stays: up to the last checkpointed end,
 * and all of the sealed segments. What lies behind is told in one line.
 */
export async function tailLog(
  place: LogPlace,
  output: Output,
  options: TailOptions
): Promise<void> {
  const { directory } = place
  const wanted = (record: LogRecord): Entry[] =>
    entriesOf(place, record).filter(entry => isSelected(options, entry))
  await reading(place, async () => {
    const live = isOwned(place)
    const end = live && !options.unsettled ? await settledEnd(nodeDisk, directory) : undefined
    const last = await rangeOfLast(nodeDisk, directory, {
      count: options.lines,
      ...(end === undefined ? {} : { end }),
      match: payload => wanted({ epoch: '', offset: 0, payload }).length > 0
    })
    const reader = new OfflineReader({
      disk: nodeDisk,
      directory,
      from: last.first,
      known: await loadLosses(nodeDisk, directory),
      onPassed: passed => options.onPassed(passedText(directory, passed))
    })
    const show = async (upTo?: number) => {
      for await (const records of reader.read(upTo, options.follow || live)) {
        const entries = records.flatMap(wanted)
        const text = entries.map(entry => (options.json ? jsonLine(entry.json()) : line(entry)))
        if (text.length > 0) await output.write(text.join(''))
        if (options.signal.aborted) return
      }
    }
    await show(Math.max(last.end, end ?? 0))
    // Behind the last record of a stopped log: a torn end is told.
    if (!options.follow && !live) await show()
    if (end !== undefined) await tellUnsettled(directory, end, options)
    while (options.follow && !options.signal.aborted) {
      await pause(POLL_MS, options.signal)
      if (options.signal.aborted) break
      // Nobody may have owned it at first; somebody may by now.
      await show(options.unsettled ? undefined : await settledEnd(nodeDisk, directory))
    }
  })
  await output.end()
}

async function tellUnsettled(directory: string, end: number, options: TailOptions): Promise<void> {
  const { end: behind } = await rangeOfLast(nodeDisk, directory, { count: 0 })
  if (behind <= end) return
  options.onPassed(
    `${behind - end} newer records are not behind a checkpoint yet, and not shown; --unsettled shows them`
  )
}

/** `time  offset  topic  payload` */
function line({ at, offset, topic, raw }: Entry): string {
  const text = printable(Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('utf8'))
  return `${timeText(at, true)}  ${offset}  ${printable(topic ?? '-')}  ${text}\n`
}
