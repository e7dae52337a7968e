import type { Value } from '../../core/contract/reading.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { linesOf } from './history-lines.ts'
import { type ObjectOptions, ObjectParser } from './history-objects.ts'
import { type HistoryColumns, TableParser } from './history-table.ts'

/**
 * Recorded history as readings, one after the other, whatever its form: what `replay` plays and
 * `train` learns from.
 *
 *     for await (const { at, site, device, values, file, line } of readHistory(inputs, options)) …
 *
 * Inputs are bytes (a file: `fileInput` in file-input.ts). The form is told by the first line:
 *
 * - a **table** with a header, separated by `,` `;` or tab; *wide* (a column a metric) or *long*
 *   (columns metric and value): history-table.ts;
 * - **NDJSON**: payloads as devices send them, `value: reading` records, or what `fieldline log
 *   export` writes: history-objects.ts.
 *
 * Memory does not grow with the length: a chunk, a line and, of several inputs, a reading each. Several inputs
 * are merged by time, each kept in its own order: a file a device then plays as the fleet it was.
 *
 * A line that cannot be used is told to `onBad` and passed over; a file that cannot is an error.
 */
export interface HistoryReading {
  /** Event time, epoch ms, whole. */
  at: number
  site: string
  device: string
  /** Finite. May be empty: the device spoke, and measured nothing. */
  values: Value[]
  /** Metrics that are null or text, in NDJSON: a sensor may have failed. */
  unusable?: string[]
  /** Name of the input, and the line in it, from 1. */
  file: string
  line: number
  /** Only of records that an agent stored. */
  record?: StoredIdentity
}

/** What a record of an agent's log is called: the same reading has the same `fl-id` again. */
export interface StoredIdentity {
  agentId: string
  /** Empty when the export did not know. */
  eventId: string
  epoch: string
  offset: number
  /** Which element of the record. */
  index: number
  receivedAt: number
  /** What the device's clock said, believed or not. */
  observedAt?: number
}

export interface HistoryInput {
  /** For messages: the path, or `standard input`. */
  name: string
  /** Whose readings these are where the rows do not say. */
  device: string
  chunks: () => AsyncIterable<Uint8Array>
}

export interface BadLine {
  file: string
  line: number
  /** For a person, without a full stop; what a stranger wrote is quoted and cut in it. */
  why: string
}

export interface HistoryOptions extends Pick<ObjectOptions, 'match' | 'believe'> {
  /** Names of columns, or of a JSON object's fields, where they are not the usual ones. */
  columns?: HistoryColumns
  /** Where the rows do not say. Default: `history`. */
  site?: string
  /** Event times wanted, epoch ms, half-open. */
  fromAt?: number
  toAt?: number
  /** Called for each, and perhaps several times for one line. */
  onBad?: (bad: BadLine) => void
  /** What a person might wonder about: a column that holds no numbers. */
  onNote?: (note: BadLine) => void
}

/** The parser of one form. Readings come out when they are whole: with a later line, or at the end. */
export interface HistoryParser {
  take(text: string, line: number): HistoryReading[]
  end(): HistoryReading[]
}

/** What a parser needs to know of its input. */
export interface ParserContext {
  file: string
  site: string
  device: string
  bad: (line: number, why: string) => void
  note: (line: number, why: string) => void
}

export const DEFAULT_SITE = 'history'

/** More files at once would meet the system's limit on open ones. */
export const INPUTS_MAX = 500

/**
 * @throws {OperationalError} INPUT_UNREADABLE: an input is empty, or its header does not fit; USAGE:
 *   too many inputs.
 */
export async function* readHistory(
  inputs: readonly HistoryInput[],
  options: HistoryOptions = {}
): AsyncGenerator<HistoryReading, void, undefined> {
  if (inputs.length > INPUTS_MAX) {
    const message = `${inputs.length} files at once are too many: give at most ${INPUTS_MAX}.`
    throw new OperationalError('USAGE', message)
  }
  const { fromAt = -Infinity, toAt = Infinity } = options
  const readings =
    inputs.length === 1
      ? readOne(inputs[0], options)
      : merged(inputs.map(each => readOne(each, options)))
  for await (const reading of readings) {
    if (reading.at >= fromAt && reading.at < toAt) yield reading
  }
}

async function* readOne(
  input: HistoryInput,
  options: HistoryOptions
): AsyncGenerator<HistoryReading, void, undefined> {
  const { name: file, device } = input
  const { site = DEFAULT_SITE, onBad, onNote } = options
  const bad = (line: number, why: string) => onBad?.({ file, line, why })
  const note = (line: number, why: string) => onNote?.({ file, line, why })
  let parser: HistoryParser | undefined
  for await (const lines of linesOf(input.chunks())) {
    for (const { text, number } of lines) {
      if (text === undefined) {
        bad(number, 'the line is too long')
      } else if (text.trim() !== '' && !text.startsWith('#')) {
        parser ??= parserFor(text, options, { file, site, device, bad, note })
        yield* parser.take(text, number)
      }
    }
  }
  if (!parser) {
    const what = 'a table with a header line, or one JSON object a line'
    throw new OperationalError('INPUT_UNREADABLE', `${file} is empty: it must hold ${what}.`)
  }
  yield* parser.end()
}

function parserFor(line: string, options: HistoryOptions, context: ParserContext): HistoryParser {
  const { columns = {} } = options
  return /^\s*[{[]/.test(line)
    ? new ObjectParser({ ...options, columns }, context)
    : new TableParser(columns, context)
}

/** The earliest of the heads, again and again; the first input first when two are equal. */
async function* merged(
  inputs: readonly AsyncGenerator<HistoryReading, void, undefined>[]
): AsyncGenerator<HistoryReading, void, undefined> {
  const heads: (HistoryReading | undefined)[] = []
  try {
    for (const input of inputs) heads.push((await input.next()).value ?? undefined)
    for (;;) {
      let first = -1
      for (const [index, head] of heads.entries()) {
        const best = heads[first]
        if (head && (!best || head.at < best.at)) first = index
      }
      const head = heads[first]
      if (!head) return
      yield head
      heads[first] = (await inputs[first].next()).value ?? undefined
    }
  } finally {
    for (const input of inputs) await input.return()
  }
}
