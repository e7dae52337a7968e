import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { cellsOf, separatorOf } from '../core/runtime/csv.ts'
import { OperationalError, systemCode } from '../core/runtime/errors.ts'
import type { DeviceIdentity, Reading, ReadingSource } from './plan.ts'
import type { Label } from './truth.ts'

/** Larger files are refused: a recording is held in memory. */
export const RECORDING_BYTES_MAX = 256 * 1024 * 1024

export interface RecordingColumns {
  /** Header of the time column. Default: `timestamp`, `time`, `datetime`, `date` or `ts`. */
  time?: string
  /** Headers of the value columns. Default: `value`, else every column but the time. */
  values?: readonly string[]
}

/** A real recording: rows in the file's order. */
export interface Recording {
  /** The value columns' headers. */
  metrics: string[]
  /** Epoch ms; a time without zone is read as UTC. May repeat or go back, as recorded. */
  times: number[]
  /** One row an instant, in the order of `metrics`; undefined where the cell holds no value. */
  rows: (number | undefined)[][]
}

const TIME_NAMES = ['timestamp', 'time', 'datetime', 'date', 'ts']
const NO_VALUE = new Set(['', 'nan', 'null', 'na', 'n/a', 'none', '-'])

/** @throws {OperationalError} INPUT_UNREADABLE: no such file, too large, or not such a table. */
export async function readRecording(file: string, columns: RecordingColumns): Promise<Recording> {
  let text: string
  try {
    const { size } = await stat(file)
    if (size > RECORDING_BYTES_MAX) {
      const mib = Math.ceil(size / 1024 / 1024)
      throw unreadable(`${file} has ${mib} MiB; a recording may have 256 MiB. Cut it into parts.`)
    }
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof OperationalError) throw error
    const why = systemCode(error) ?? String(error)
    throw new OperationalError(
      'INPUT_UNREADABLE',
      `Cannot read the recording ${file}: ${why}. Give the path of a CSV file with a header line.`,
      { cause: error }
    )
  }
  return parseRecording(text, file, columns)
}

/**
 * Reads a table separated by commas, semicolons or tabs, with a header line.
 *
 * Tolerated: a byte order mark, CRLF, quotes, blank lines, lines that start with `#`, cells without
 * a value (empty, NaN, null). Times are epoch s, ms, µs or ns by magnitude, RFC 3339, or
 * `2015-02-26 21:42:53`.
 *
 * @throws {OperationalError} INPUT_UNREADABLE, naming file and line.
 */
export function parseRecording(text: string, file: string, columns: RecordingColumns): Recording {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const headerLine = lines.findIndex(l => l.trim() !== '' && !l.startsWith('#'))
  if (headerLine < 0) throw unreadable(`${file} is empty: it needs a header line and rows.`)
  const separator = separatorOf(lines[headerLine])
  const header = cellsAt(lines[headerLine], separator, file, headerLine)
  const time = timeColumn(header, columns.time, `${file}:${headerLine + 1}`)
  const values = valueColumns(header, time, columns.values, `${file}:${headerLine + 1}`)

  const recording: Recording = { metrics: values.map(i => header[i]), times: [], rows: [] }
  for (let i = headerLine + 1; i < lines.length; i++) {
    if (lines[i].trim() === '' || lines[i].startsWith('#')) continue
    const cells = cellsAt(lines[i], separator, file, i)
    if (cells.length !== header.length) {
      throw unreadable(
        `${file}:${i + 1}: ${cells.length} columns where the header has ${header.length}. Mend or remove the line.`
      )
    }
    recording.times.push(timeOf(cells[time], header[time], `${file}:${i + 1}`))
    recording.rows.push(values.map(c => numberOf(cells[c], header[c], `${file}:${i + 1}`)))
  }
  if (recording.rows.length === 0) {
    throw unreadable(`${file} has a header line and no rows: there is nothing to play.`)
  }
  return recording
}

export interface RecordingSourceOptions {
  devices: number
  site: string
  prefix: string
  /** Event time of the first row, epoch ms. */
  startAt: number
  /** Recorded ms per ms of event time. */
  speed: number
}

/**
 * Plays a recording on every device. The first row is sent at `startAt`, the others as far behind
 * it as they were recorded, divided by `speed`. A row whose recorded time goes back is sent at once
 * and keeps its time. There is no truth about it.
 */
export class RecordingSource implements ReadingSource {
  readonly devices: readonly DeviceIdentity[]
  readonly #recording: Recording
  readonly #options: RecordingSourceOptions

  constructor(recording: Recording, options: RecordingSourceOptions) {
    this.#recording = recording
    this.#options = options
    const digits = Math.max(3, String(options.devices).length)
    this.devices = Array.from({ length: options.devices }, (_, i) => ({
      site: options.site,
      device: `${options.prefix}${String(i + 1).padStart(digits, '0')}`,
      metrics: recording.metrics
    }))
  }

  labels(): Label[] {
    return []
  }

  *readings(): Generator<Reading, void, undefined> {
    const { times, rows } = this.#recording
    const { startAt, speed, devices } = this.#options
    let at = startAt
    for (let i = 0; i < rows.length; i++) {
      const ts = Math.round(startAt + (times[i] - times[0]) / speed)
      at = Math.max(at, ts)
      if (rows[i].every(v => v === undefined)) continue
      for (let device = 0; device < devices; device++) {
        yield { device, at, ts, values: rows[i], copies: 1 }
      }
    }
  }
}

function unreadable(message: string): OperationalError {
  return new OperationalError('INPUT_UNREADABLE', message)
}

function cellsAt(line: string, separator: string, file: string, index: number): string[] {
  const cells = cellsOf(line, separator)
  if (cells) return cells
  throw unreadable(
    `${file}:${index + 1}: a quote is opened and not closed. Mend or remove the line.`
  )
}

function timeColumn(header: string[], wanted: string | undefined, where: string): number {
  if (wanted !== undefined) return columnNamed(header, wanted, '--time-column', where)
  const found = header.findIndex(h => TIME_NAMES.includes(h.toLowerCase()))
  if (found >= 0) return found
  throw unreadable(
    `${where}: no column is called ${TIME_NAMES.join(', ')}. Name the time with --time-column, one of: ${header.join(', ')}.`
  )
}

function valueColumns(
  header: string[],
  time: number,
  wanted: readonly string[] | undefined,
  where: string
): number[] {
  if (wanted !== undefined && wanted.length > 0) {
    return [...new Set(wanted)].map(w => columnNamed(header, w, '--value-column', where))
  }
  const value = header.findIndex(h => h.toLowerCase() === 'value')
  if (value >= 0 && value !== time) return [value]
  const others = header.map((_, i) => i).filter(i => i !== time && header[i] !== '')
  if (others.length > 0) return others
  throw unreadable(`${where}: there is no column of values beside "${header[time]}".`)
}

function columnNamed(header: string[], name: string, option: string, where: string): number {
  const found = header.indexOf(name)
  if (found >= 0) return found
  throw unreadable(
    `${where}: there is no column "${name}". Set ${option} to one of: ${header.join(', ')}.`
  )
}

function timeOf(cell: string, column: string, where: string): number {
  const at = /^[+-]?\d+(\.\d+)?$/.test(cell) ? epochMs(Number(cell)) : Date.parse(isoOf(cell))
  if (Number.isFinite(at)) return at
  throw unreadable(
    `${where}: column "${column}" holds "${cell}", not a time such as 2026-01-31 12:00:00, RFC 3339 or epoch seconds.`
  )
}

/** Seconds, ms, µs or ns by magnitude: each is unambiguous from 1973 to 5138. */
function epochMs(number: number): number {
  const size = Math.abs(number)
  if (size < 1e11) return number * 1e3
  if (size < 1e14) return number
  return size < 1e17 ? number / 1e3 : number / 1e6
}

/** `2015-02-26 21:42:53` becomes RFC 3339 in UTC; what has a zone keeps it. */
function isoOf(cell: string): string {
  const match =
    /^(\d{4})[-/](\d{2})[-/](\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?))?(Z|[+-]\d{2}:?\d{2})?$/i.exec(
      cell
    )
  if (match === null) return 'not a time'
  const [, year, month, day, clock = '00:00:00', zone = 'Z'] = match
  return `${year}-${month}-${day}T${clock.replace(',', '.')}${zone.toUpperCase()}`
}

function numberOf(cell: string, column: string, where: string): number | undefined {
  if (NO_VALUE.has(cell.toLowerCase())) return undefined
  const value = Number(cell)
  if (Number.isFinite(value)) return value
  throw unreadable(
    `${where}: column "${column}" holds "${cell}", not a number. Mend or empty the cell.`
  )
}

/** `machine_temperature.csv` → `machine_temperature-`: device names that tell what is played. */
export function prefixOf(file: string): string {
  return `${basename(file)
    .replace(/\.[^.]*$/, '')
    .replace(/[^A-Za-z0-9._-]/g, '-')}-`
}
