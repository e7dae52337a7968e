import type { Value } from '../../core/contract/reading.ts'
import { cellsOf, separatorOf } from '../../core/runtime/csv.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { nearestName } from '../../core/runtime/nearest.ts'
import type { HistoryParser, HistoryReading, ParserContext } from './history.ts'
import { InstantParser } from './history-time.ts'

/** Each as in the header; what is left out is found by the usual names. */
export interface HistoryColumns {
  time?: string
  site?: string
  device?: string
  /** Makes the table a long one. */
  metric?: string
  /** Wide: the metrics wanted, all numeric columns when left out. Long: the one column of values. */
  values?: readonly string[]
}

/** Upper case, `-`, `_` and blanks make no difference. */
const USUAL = {
  time: ['timestamp', 'time', 'datetime', 'date', 'ts', 'at', 'observedat'],
  site: ['site', 'siteid'],
  device: ['device', 'deviceid', 'devicename'],
  metric: ['metric', 'metricname'],
  value: ['value', 'v']
}
/** Columns that count or identify; as series they would only raise false alerts. */
const NO_SERIES = new Set(['', 'seq', 'sequence', 'id', 'msgid', 'index', 'receivedat'])
const NO_VALUE = new Set(['', 'nan', 'null', 'na', 'n/a', 'none', '-'])

interface Layout {
  separator: string
  header: string[]
  time: number
  site: number
  device: number
  /** Of a long table; −1: wide. */
  metric: number
  values: number[]
}

/**
 * A table with a header line.
 *
 * Wide: each row is a reading, its metrics the columns. Long: each row is one value; neighbours of one
 * device and instant are one reading.
 *
 * Tolerated: quotes, blank lines, comment lines (`#`), cells without a value (empty, NaN, null), a
 * decimal comma where the comma does not separate. A cell that is no number is told, the rest of its
 * row counts. Not tolerated: a line break within quotes.
 */
export class TableParser implements HistoryParser {
  readonly #columns: HistoryColumns
  readonly #context: ParserContext
  readonly #instants = new InstantParser()
  #layout: Layout | undefined
  /** Of a wide table: columns whose first cell has yet to show that they hold numbers. */
  readonly #unproven = new Set<number>()
  #held: HistoryReading | undefined

  constructor(columns: HistoryColumns, context: ParserContext) {
    this.#columns = columns
    this.#context = context
  }

  /** @throws {OperationalError} INPUT_UNREADABLE: the header does not fit. */
  take(text: string, line: number): HistoryReading[] {
    if (!this.#layout) {
      const chosen = this.#columns.values === undefined
      this.#layout = layoutOf(text, this.#columns, `${this.#context.file}:${line}`)
      if (chosen && this.#layout.metric < 0) {
        for (const column of this.#layout.values) this.#unproven.add(column)
      }
      return []
    }
    const { separator, header, time } = this.#layout
    const cells = cellsOf(text, separator)
    if (!cells) {
      this.#context.bad(line, 'a quote is opened and not closed')
      return []
    }
    if (cells.length !== header.length) {
      this.#context.bad(line, `${cells.length} columns where the header has ${header.length}`)
      return []
    }
    const at = this.#instants.parse(cells[time])
    if (!Number.isFinite(at)) {
      this.#context.bad(
        line,
        `column ${quoted(header[time])} holds ${quoted(cells[time])}, no time`
      )
      return []
    }
    return this.#layout.metric < 0
      ? [this.#reading(this.#layout, cells, at, line, this.#wideValues(this.#layout, cells, line))]
      : this.#takeLong(this.#layout, cells, at, line)
  }

  end(): HistoryReading[] {
    const held = this.#held
    this.#held = undefined
    return held ? [held] : []
  }

  #reading(
    layout: Layout,
    cells: string[],
    at: number,
    line: number,
    values: Value[]
  ): HistoryReading {
    const { file } = this.#context
    const site = cells[layout.site] || this.#context.site
    const device = cells[layout.device] || this.#context.device
    return { at, site, device, values, file, line }
  }

  #wideValues(layout: Layout, cells: string[], line: number): Value[] {
    const values: Value[] = []
    for (const column of layout.values) {
      const value = this.#number(layout, cells[column], column, line)
      if (value !== undefined) values.push({ metric: layout.header[column], value })
    }
    return values
  }

  #takeLong(layout: Layout, cells: string[], at: number, line: number): HistoryReading[] {
    const column = layout.values[0]
    const metric = cells[layout.metric]
    if (metric === '') {
      this.#context.bad(line, `column ${quoted(layout.header[layout.metric])} is empty`)
      return []
    }
    const value = this.#number(layout, cells[column], column, line)
    const values = value === undefined ? [] : [{ metric, value }]
    const next = this.#reading(layout, cells, at, line, values)
    const held = this.#held
    if (
      held?.at === at &&
      held.device === next.device &&
      held.site === next.site &&
      !held.values.some(v => v.metric === metric)
    ) {
      held.values.push(...values)
      return []
    }
    this.#held = next
    return held ? [held] : []
  }

  #number(layout: Layout, cell: string, column: number, line: number): number | undefined {
    const value = numberOf(cell, layout.separator)
    if (!Number.isNaN(value)) {
      if (this.#unproven.size > 0) this.#unproven.delete(column)
      return value
    }
    if (NO_VALUE.has(cell.toLowerCase())) return undefined
    const told = `column ${quoted(layout.header[column])} holds ${quoted(cell)}, no number`
    if (this.#unproven.delete(column)) {
      layout.values = layout.values.filter(each => each !== column)
      this.#context.note(line, `${told}: the column is left out`)
    } else {
      this.#context.bad(line, told)
    }
    return undefined
  }
}

/** NaN: none. */
function numberOf(cell: string, separator: string): number {
  if (cell === '') return Number.NaN
  const value = Number(cell)
  // Number() would take '0x10', too: two characters at least, the second a letter.
  if (Number.isFinite(value)) return /^0[xob]/i.test(cell) ? Number.NaN : value
  return separator !== ',' && /^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$/.test(cell)
    ? Number(cell.replace(',', '.'))
    : Number.NaN
}

function layoutOf(line: string, columns: HistoryColumns, where: string): Layout {
  const separator = separatorOf(line)
  const header = cellsOf(line, separator)
  if (!header) throw unreadable(`${where}: a quote in the header is opened and not closed.`)
  const twice = header.find((name, i) => name !== '' && header.indexOf(name) !== i)
  if (twice !== undefined) {
    throw unreadable(`${where}: two columns are called ${quoted(twice)}. Rename one.`)
  }
  const named = (wanted: string, option: string) => columnNamed(header, wanted, option, where)
  const usual = (names: readonly string[]) => header.findIndex(h => names.includes(plain(h)))
  const of = (wanted: string | undefined, option: string, names: readonly string[]) =>
    wanted === undefined ? usual(names) : named(wanted, option)
  const time = of(columns.time, '--time', USUAL.time)
  if (time < 0) {
    const what = `no column is called ${USUAL.time.slice(0, 5).join(', ')}`
    throw unreadable(`${where}: ${what}. Name the time with --time, one of: ${listed(header)}.`)
  }
  const site = of(columns.site, '--site-column', USUAL.site)
  const device = of(columns.device, '--device', USUAL.device)
  const value = usual(USUAL.value)
  let metric =
    columns.metric === undefined ? usual(USUAL.metric) : named(columns.metric, '--metric')
  // Without a column of values it is a wide table that has a text column of that name.
  if (columns.metric === undefined && (value < 0 || columns.values !== undefined)) metric = -1
  const taken = new Set([time, site, device, metric])
  const values = columns.values
    ? [...new Set(columns.values)].map(name => named(name, '--values'))
    : metric >= 0 && value >= 0
      ? [value]
      : header.flatMap((h, i) => (taken.has(i) || NO_SERIES.has(plain(h)) ? [] : [i]))
  if (values.length === 0 || (metric >= 0 && values.length > 1)) {
    const what = metric >= 0 ? 'the one column that holds the values' : 'a column of numbers'
    throw unreadable(`${where}: name ${what} with --values, of: ${listed(header)}.`)
  }
  return { separator, header, time, site, device, metric, values }
}

function columnNamed(header: string[], name: string, option: string, where: string): number {
  const found = header.indexOf(name)
  if (found >= 0) return found
  const near = nearestName(name, header)
  const hint = near === undefined ? '' : ` Did you mean ${quoted(near)}?`
  throw unreadable(
    `${where}: ${option} names ${quoted(name)}, which is no column.${hint} There are: ${listed(header)}.`
  )
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, '')
}

/** What a stranger wrote, so that no terminal takes it for an order. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}

function listed(header: readonly string[]): string {
  const names = header.slice(0, 30).map(quoted).join(', ')
  return header.length > 30 ? `${names} and ${header.length - 30} more` : names
}

function unreadable(message: string): OperationalError {
  return new OperationalError('INPUT_UNREADABLE', message)
}
