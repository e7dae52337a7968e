import path from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { NabProfile } from '../../detector/evaluate/nab.ts'
import type { JudgedSeries, LabelledSeries } from '../../detector/evaluate/nab-report.ts'
import { entriesOf, readText, unreadable, writeLines } from './benchmark-files.ts'

/**
 * Reads NAB's data and labels.
 *
 * @param data Directory with `<category>/<file>.csv`, columns `timestamp,value`.
 * @param windows JSON: `<category>/<file>.csv` → [[first timestamp, last timestamp], …].
 * @throws {OperationalError} INPUT_UNREADABLE, naming file and line.
 */
export function readNab(data: string, windows: string): LabelledSeries[] {
  const labels = readJson(windows)
  const names = csvFiles(data)
  if (names.length === 0) {
    throw unreadable(`'${data}' holds no <category>/<file>.csv: give NAB's directory 'data'`)
  }
  return names.map(name => {
    const file = path.join(data, name)
    const { at, values } = parseCsv(file, readText(file))
    const edges = labels[name]
    if (!Array.isArray(edges)) {
      throw unreadable(`'${windows}' has no entry for '${name}': a file without anomalies has []`)
    }
    const rowAt = new Map<number, number>()
    for (const [row, instant] of at.entries()) if (!rowAt.has(instant)) rowAt.set(instant, row)
    const rowsOf = (edge: unknown): number => {
      const row = rowAt.get(instantOf(edge))
      if (row !== undefined) return row
      throw unreadable(`'${windows}': '${name}' has no row at ${JSON.stringify(edge)}`)
    }
    const rows = edges.map((edge): [number, number] => {
      if (Array.isArray(edge) && edge.length === 2) return [rowsOf(edge[0]), rowsOf(edge[1])]
      throw unreadable(`'${windows}': '${name}' has a window that is no pair of timestamps`)
    })
    rows.sort((a, b) => a[0] - b[0])
    if (rows.some(([first, last]) => last < first)) {
      throw unreadable(`'${windows}': a window of '${name}' ends before it begins`)
    }
    return { name, rows: at.length, at, values, windows: rows }
  })
}

/** @throws {OperationalError} INPUT_UNREADABLE */
export function readProfiles(file: string): NabProfile[] {
  const profiles = Object.entries(readJson(file)).map(([name, profile]) => {
    const costs = (profile as { CostMatrix?: Record<string, unknown> } | null)?.CostMatrix ?? {}
    const [truePositive, falseNegative, falsePositive] = ['tpWeight', 'fnWeight', 'fpWeight'].map(
      weight => {
        const value = costs[weight]
        if (typeof value === 'number' && value >= 0) return value
        throw unreadable(`'${file}': profile '${name}' has no number CostMatrix.${weight}`)
      }
    )
    return { name, truePositive, falseNegative, falsePositive }
  })
  if (profiles.length === 0) throw unreadable(`'${file}' holds no profile`)
  return profiles
}

/** Writes NAB's layout, so that any other scorer can judge the alerts. */
export function writeNab(directory: string, judged: readonly JudgedSeries[]): void {
  for (const { series, scores } of judged) {
    const lines = ['timestamp,value,anomaly_score']
    for (let row = 0; row < series.rows; row++) {
      const value = Number.isFinite(series.values[row]) ? series.values[row] : ''
      lines.push(`${timestampOf(series.at[row])},${value},${scores[row]}`)
    }
    writeLines(path.join(directory, series.name), lines)
  }
}

function csvFiles(data: string): string[] {
  const names: string[] = []
  for (const category of entriesOf(data)) {
    if (!category.isDirectory()) continue
    for (const entry of entriesOf(path.join(data, category.name))) {
      if (entry.isFile() && entry.name.endsWith('.csv'))
        names.push(`${category.name}/${entry.name}`)
    }
  }
  return names.sort()
}

function parseCsv(file: string, text: string): { at: Float64Array; values: Float64Array } {
  const [header, ...lines] = text.replace(/\s+$/, '').split(/\r?\n/)
  if (header.trim() !== 'timestamp,value') {
    throw unreadable(`'${file}' line 1: expected the columns timestamp,value`)
  }
  if (lines.length === 0) throw unreadable(`'${file}' has no rows`)
  const at = new Float64Array(lines.length)
  const values = new Float64Array(lines.length)
  for (const [row, line] of lines.entries()) {
    const comma = line.indexOf(',')
    at[row] = instantOf(line.slice(0, comma))
    if (comma < 0 || Number.isNaN(at[row])) {
      throw unreadable(`'${file}' line ${row + 2}: expected YYYY-MM-DD HH:MM:SS,number`)
    }
    const value = line.slice(comma + 1).trim()
    values[row] = value === '' ? Number.NaN : Number(value)
  }
  return { at, values }
}

/** NAB's timestamps have no zone and, in the labels, a fraction of zeros. @returns NaN for others. */
function instantOf(text: unknown): number {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(\.\d+)?$/.exec(String(text).trim())
  return match ? Date.parse(`${match[1]}T${match[2]}Z`) : Number.NaN
}

function timestampOf(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ')
}

function readJson(file: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(readText(file))
  } catch (error) {
    if (error instanceof OperationalError) throw error
    throw unreadable(`'${file}' is no JSON: ${messageOf(error)}`, error)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw unreadable(`'${file}': expected a JSON object`)
}
