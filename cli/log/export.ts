import { loadCheckpoint } from '../../core/log/checkpoint.ts'
import { loadLosses, subtract } from '../../core/log/losses.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { explainMissing, OfflineReader, type Passed } from '../../core/log/tail.ts'
import type { Output } from './output.ts'
import { type LogPlace, reading } from './places.ts'
import { entriesOf, jsonLine } from './records.ts'
import { isSelected, type Selection } from './select.ts'
import { bytesText } from './text.ts'
import { lostText, placeOf } from './verify-text.ts'

export interface ExportOptions extends Selection {
  /** Offsets, half-open. */
  from?: number
  to?: number
  limit?: number
  format: 'ndjson' | 'raw'
  /** Behind each raw payload. */
  delimiter: string
  /** Another process owns the log: bytes behind the last record are a write under way. */
  live: boolean
  onPassed: (message: string) => void
  /** Told now and again how many entries were written. */
  onEntries?: (entries: number) => void
}

/** As much text is gathered before it is written. */
const CHUNK_CHARS = 1 << 16

/** @returns Whether everything that was asked for could be read. */
export async function exportLog(
  place: LogPlace,
  output: Output,
  options: ExportOptions
): Promise<{ entries: number; whole: boolean }> {
  let whole = true
  const pass = (passed: Passed): void => {
    const { first = 0, end = Infinity } = passed.lost ?? {}
    if (first >= (options.to ?? Infinity) || end <= (options.from ?? 0)) return
    whole = false
    options.onPassed(passedText(place.directory, passed))
  }
  const { directory } = place
  const entries = await reading(place, async () => {
    const known = await loadLosses(nodeDisk, directory)
    const reader = new OfflineReader({
      ...{ disk: nodeDisk, directory, known, onPassed: pass },
      ...(options.from === undefined ? {} : { from: options.from })
    })
    const written = await writeEntries(place, reader, output, options)
    const complete = options.to === undefined && written < (options.limit ?? Infinity)
    if (complete) await tellLostEnd(place, reader.offset, pass)
    return written
  })
  await output.end()
  return { entries, whole }
}

async function writeEntries(
  place: LogPlace,
  reader: OfflineReader,
  output: Output,
  options: ExportOptions
): Promise<number> {
  const { to, limit = Infinity, format, delimiter, live } = options
  let entries = 0
  let text = ''
  if (limit === 0) return 0
  for await (const records of reader.read(to, live)) {
    for (const record of records) {
      for (const entry of entriesOf(place, record)) {
        if (entries >= limit || !isSelected(options, entry)) continue
        entries++
        if (format === 'ndjson') text += jsonLine(entry.json())
        else {
          await output.write(entry.raw)
          if (delimiter !== '') await output.write(delimiter)
        }
      }
      if (text.length >= CHUNK_CHARS) {
        await output.write(text)
        text = ''
      }
      if (entries >= limit) break
    }
    options.onEntries?.(entries)
    if (entries >= limit) break
  }
  if (text !== '') await output.write(text)
  return entries
}

/** What the checkpoint has seen and the files do not hold. */
async function tellLostEnd(
  { directory }: LogPlace,
  reached: number,
  pass: (passed: Passed) => void
): Promise<void> {
  const found = await loadCheckpoint(nodeDisk, directory)
  const end = found.kind === 'valid' ? found.checkpoint.end.offset : 0
  const known = await loadLosses(nodeDisk, directory)
  for (const lost of subtract({ first: reached, end }, known)) {
    const passed = await explainMissing(nodeDisk, directory, lost, { file: 'checkpoint' })
    for (const each of passed) pass(each)
  }
}

const REASONS: Record<Passed['reason'], string> = {
  damaged: 'damaged',
  header: 'no valid header, none of its records can be read',
  newer: 'of a newer format, to be read by the Fieldline that wrote it',
  missing: 'a file is gone or was truncated'
}

export function passedText(directory: string, passed: Passed): string {
  const bytes = passed.bytes === undefined ? '' : ` ${bytesText(passed.bytes)} skipped:`
  const lost = passed.lost ? `; ${lostText(passed.lost)}` : ''
  return `${placeOf(directory, passed)}:${bytes} ${REASONS[passed.reason]}${lost}`
}
