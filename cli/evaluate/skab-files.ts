import path from 'node:path'
import { SKAB_TRAINING_ROWS, type SkabFile, type SkabResult } from '../../detector/evaluate/skab.ts'
import { entriesOf, readText, unreadable, writeLines } from './benchmark-files.ts'

const FREE = 'anomaly-free'
const TIME = 'datetime'
const LABEL = 'anomaly'
/** Labels, not sensors. */
const NO_METRICS = new Set([TIME, LABEL, 'changepoint'])

/**
 * Reads the benchmark's directory: `anomaly-free/` with one recording, and any folders of labelled
 * CSV files beside it.
 *
 * @throws {OperationalError} INPUT_UNREADABLE, naming file and line.
 */
export function readSkab(directory: string): { free: SkabFile; files: SkabFile[] } {
  const folders = entriesOf(directory).filter(entry => entry.isDirectory())
  const names = (folder: string) =>
    entriesOf(path.join(directory, folder))
      .filter(entry => entry.isFile() && entry.name.endsWith('.csv'))
      .map(entry => `${folder}/${entry.name}`)
      .sort()
  const recordings = folders.some(({ name }) => name === FREE) ? names(FREE) : []
  if (recordings.length !== 1) {
    const found = recordings.length === 0 ? 'holds no' : `holds ${recordings.length} files in`
    throw unreadable(
      `'${directory}' ${found} ${FREE}/*.csv, where one recording is expected: give the directory 'data' of github.com/waico/SKAB`
    )
  }
  const labelled = folders.flatMap(({ name }) => (name === FREE ? [] : names(name))).sort()
  if (labelled.length === 0) {
    throw unreadable(
      `'${directory}' has no folder of labelled files beside ${FREE}: expected <folder>/<file>.csv`
    )
  }
  const free = readFile(directory, recordings[0], false)
  const files = labelled.map(name => readFile(directory, name, true))
  for (const file of files) checkAgainst(free, file)
  return { free, files }
}

/** Writes `<folder>/<file>.csv` with `datetime,alarm`, a line a row; rows that were learned are 0. */
export function writeSkab(directory: string, results: readonly SkabResult[]): void {
  for (const { file, alarms } of results) {
    const rows = file.times.map((time, t) => `${time},${alarms[t]}`)
    writeLines(path.join(directory, file.name), ['datetime,alarm', ...rows])
  }
}

function readFile(directory: string, name: string, labelled: boolean): SkabFile {
  const file = path.join(directory, name)
  const [head, ...lines] = readText(file).trim().split(/\r?\n/)
  const separator = head.includes(';') ? ';' : ','
  const header = head.replace(/^\ufeff/, '').split(separator)
  const time = header.indexOf(TIME)
  const label = header.indexOf(LABEL)
  if (time < 0) throw unreadable(`'${file}' line 1: there is no column '${TIME}'`)
  if (labelled && label < 0) throw unreadable(`'${file}' line 1: there is no column '${LABEL}'`)
  const columns = header.flatMap((column, i) => (NO_METRICS.has(column) ? [] : [i]))
  if (columns.length === 0) throw unreadable(`'${file}' line 1: there is no column of a sensor`)
  const times: string[] = []
  const labels = new Uint8Array(lines.length)
  const rows = lines.map((line, row) => {
    const cells = line.split(separator)
    if (cells.length !== header.length) {
      throw unreadable(
        `'${file}' line ${row + 2}: ${cells.length} columns where the header has ${header.length}`
      )
    }
    times.push(cells[time])
    if (labelled) labels[row] = Number(cells[label]) >= 0.5 ? 1 : 0
    return Float64Array.from(columns, column =>
      cells[column].trim() === '' ? Number.NaN : Number(cells[column])
    )
  })
  if (rows.length <= SKAB_TRAINING_ROWS) {
    throw unreadable(
      `'${file}' has ${rows.length} rows: the first ${SKAB_TRAINING_ROWS} are learned, more are needed to judge`
    )
  }
  return { name, metrics: columns.map(column => header[column]), times, rows, labels }
}

function checkAgainst(free: SkabFile, file: SkabFile): void {
  const missing = file.metrics.filter(metric => !free.metrics.includes(metric))
  if (missing.length === 0) return
  throw unreadable(`'${free.name}' lacks ${missing.join(', ')}, which '${file.name}' has`)
}
