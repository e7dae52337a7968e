import { Branches } from '../../agent/routing/branches.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { packageVersion } from '../../core/runtime/package-root.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { DetectorCounters } from '../../detector/counters.ts'
import { fileInputs } from '../../detector/source/file-input.ts'
import { type BadLine, type HistoryOptions, readHistory } from '../../detector/source/history.ts'
import type { HistoryColumns } from '../../detector/source/history-table.ts'
import type { FieldlineConfig } from '../config.ts'
import { fileOutput, type Output } from '../log/output.ts'
import { jsonLine } from '../log/records.ts'
import { ChartRecorder } from './chart-recorder.ts'
import { runEngine } from './engine.ts'
import { judge, readLabels } from './labels.ts'
import { eventLine, summaryText, verdictText } from './replay-text.ts'
import { htmlReport } from './report/report.ts'
import { seriesKey, Tally } from './tally.ts'

/** Series that are thinned out for charts, at most 57 KB each; later ones are not drawn. */
const RECORDED_MAX = 1000
const BAD_LINES_TOLD = 10
const NOTES_TOLD = 20

export interface ReplayOptions {
  files: readonly string[]
  config: FieldlineConfig
  /** The configuration's, as the command line may have changed it. */
  detector: DetectorConfig
  columns: HistoryColumns
  site?: string
  fromAt?: number
  toAt?: number
  /** Alert events as NDJSON instead of lines for people. */
  json: boolean
  labels?: string
  graceMs: number
  html?: string
  chartsMax: number
  /** Alerts; and the summary, unless they are NDJSON. */
  output: Output
  /** Lines for people that are no result. */
  tell: (text: string) => void
  /** Told of each piece of the files that is read. */
  onBytes?: (bytes: number) => void
}

/**
 * Plays history through the engine and tells what it would have told.
 *
 * @returns Whether everything could be read.
 * @throws {OperationalError} INPUT_UNREADABLE, DIRECTORY_UNUSABLE
 */
export async function replay(options: ReplayOptions): Promise<boolean> {
  const { output, json, detector } = options
  const inputs = fileInputs(options.files, options.onBytes)
  // What is wrong with these is found now rather than after a long run.
  const labels = options.labels === undefined ? undefined : readLabels(options.labels, inputs)
  const report = options.html === undefined ? undefined : await fileOutput(options.html)

  const tally = new Tally()
  const charts = new Map<string, ChartRecorder>()
  const complaints = new Complaints(options.tell)
  const history: HistoryOptions = {
    ...{ columns: options.columns, onBad: complaints.bad, onNote: complaints.note },
    ...decodingOf(options.config),
    ...(options.site === undefined ? {} : { site: options.site }),
    ...(options.fromAt === undefined ? {} : { fromAt: options.fromAt }),
    ...(options.toAt === undefined ? {} : { toAt: options.toAt })
  }
  const counters = await runEngine(readHistory(inputs, history), {
    config: detector,
    onValue: seen => {
      tally.value(seen)
      if (!report) return
      const { site, device, metric } = seen.series
      const key = seriesKey(site, device, metric)
      let chart = charts.get(key)
      if (!chart) {
        if (charts.size >= RECORDED_MAX) return
        chart = new ChartRecorder()
        charts.set(key, chart)
      }
      chart.add(seen)
    },
    onEvent: async (event, receivedAt) => {
      tally.event(event, receivedAt)
      if (json) {
        await output.write(jsonLine(event))
        return
      }
      const line = eventLine(event)
      if (line !== undefined) await output.write(`${line}\n`)
    }
  })
  complaints.end()
  refuseNothing(options, counters, complaints.lines)
  const span = tally.span()
  const verdict = labels && judge(labels, tally.alerts, tally.series.values(), options.graceMs)
  const parts = {
    ...{ tally, counters, lines: { bad: complaints.lines, files: inputs.length } },
    detector: `${detector.scorer}, sensitivity ${detector.sensitivity}`
  }
  const spanMs = span ? span.lastAt - span.firstAt : 0
  const text = summaryText(parts) + (verdict ? verdictText(verdict, spanMs, tally.devices()) : '')
  if (json) options.tell(text)
  else await output.write(text)
  if (report) {
    const { chartsMax } = options
    const page = htmlReport({
      ...{ ...parts, charts, chartsMax, verdict, raise: detector.raise, version: packageVersion() },
      files: inputs.map(({ name }) => name)
    })
    await report.write(page)
    await report.end()
  }
  await output.end()
  return complaints.lines === 0
}

/** @throws {OperationalError} INPUT_UNREADABLE: nothing was played, and why. */
function refuseNothing(
  { files, fromAt, toAt, columns }: ReplayOptions,
  { readings, scored }: DetectorCounters,
  bad: number
): void {
  if (scored > 0) return
  const where = fromAt === undefined && toAt === undefined ? '' : ' between --from and --to'
  const named = columns.values === undefined ? '' : ` called ${columns.values.join(' or ')}`
  const what =
    readings > 0
      ? `not one number${named} in ${readings.toLocaleString('en-US')} readings`
      : `not one reading${bad > 0 ? ' that can be used' : ''}${where}`
  throw new OperationalError('INPUT_UNREADABLE', `${files.join(', ')}: ${what}.`)
}

/** Messages of an exported log are decoded by the configuration's routes and clock, as at the edge. */
function decodingOf({
  routes,
  uplink,
  clock
}: FieldlineConfig): Pick<HistoryOptions, 'match' | 'believe'> {
  const branches = new Branches({
    ...{ routes, deadLetterTopic: uplink.deadLetterTopic, alertTopic: uplink.alertTopic },
    ...{ pastMsMax: clock.pastMaxMs, futureMsMax: clock.futureMaxMs }
  })
  return {
    match: message => {
      const { wanted } = branches.table.match(message)
      const match = wanted.find(({ config }) => config.codec !== 'raw')
      if (!match) return undefined
      const { site, device, metric, fields } = match
      return {
        ...{ site, device, codec: match.config.codec },
        ...(metric === undefined ? {} : { metric }),
        ...(fields === undefined ? {} : { fields })
      }
    },
    believe: (observedAt, receivedAt) => branches.believedTime(observedAt, receivedAt)
  }
}

/** Tells the first bad lines with their place, and counts the rest. */
class Complaints {
  lines = 0
  #notes = 0
  readonly #tell: (text: string) => void

  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  readonly bad = ({ file, line, why }: BadLine): void => {
    if (this.lines++ < BAD_LINES_TOLD) this.#tell(`fieldline: ${file}:${line}: ${why}\n`)
  }

  readonly note = ({ file, line, why }: BadLine): void => {
    if (this.#notes++ < NOTES_TOLD) this.#tell(`fieldline: ${file}:${line}: ${why}\n`)
  }

  end(): void {
    const more = this.lines - BAD_LINES_TOLD
    if (more > 0)
      this.#tell(`fieldline: and ${more.toLocaleString('en-US')} more such lines or cells\n`)
  }
}
