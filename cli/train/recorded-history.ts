import { matchesAny } from '../../detector/pattern.ts'
import { fileInputs } from '../../detector/source/file-input.ts'
import { type BadLine, readHistory } from '../../detector/source/history.ts'
import type { HistoryColumns } from '../../detector/source/history-table.ts'
import {
  type GridResult,
  HistoryGrid,
  type RecordedReading
} from '../../detector/train/history-grid.ts'

/** Which of what was recorded is wanted. */
export interface Wanted {
  columns: HistoryColumns
  /** `*` stands for any text. */
  devices?: readonly string[]
  fromAt?: number
  toAt?: number
  everyMs?: number
}

export interface Recorded extends GridResult {
  /** Lines or records that could not be used, and the first of the reasons. */
  unusable: number
  firstUnusable?: string
}

/** CSV or NDJSON files, on the grid that training takes. */
export async function readFiles(
  files: readonly string[],
  { columns, devices, fromAt, toAt, everyMs }: Wanted,
  onBytes?: (bytes: number) => void
): Promise<Recorded> {
  const grid = new HistoryGrid()
  let unusable = 0
  let firstUnusable: string | undefined
  const onBad = ({ file, line, why }: BadLine) => {
    unusable++
    firstUnusable ??= `${file}:${line}: ${why}`
  }
  const options = {
    columns,
    onBad,
    ...(fromAt === undefined ? {} : { fromAt }),
    ...(toAt === undefined ? {} : { toAt })
  }
  for await (const reading of readHistory(fileInputs(files, onBytes), options)) {
    if (matchesAny(devices, reading.device)) grid.add(reading)
  }
  return { ...grid.build(everyMs), unusable, ...(firstUnusable ? { firstUnusable } : {}) }
}

/** What `readTopic` hands over, on the same grid. */
export function isWanted(
  { columns, devices, fromAt = -Infinity, toAt = Infinity }: Wanted,
  reading: RecordedReading
): RecordedReading | undefined {
  if (!matchesAny(devices, reading.device)) return undefined
  if (!(reading.at >= fromAt && reading.at < toAt)) return undefined
  const { values } = columns
  if (!values) return reading
  return { ...reading, values: reading.values.filter(v => values.includes(v.metric)) }
}
