import { Command } from 'commander'
import { OperationalError } from '../../core/runtime/errors.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { SENSITIVITIES, type Sensitivity } from '../../detector/scorer/scorer.ts'
import { instantOf } from '../../detector/source/history-time.ts'
import { loadFieldlineConfig } from '../config.ts'
import { standardOutput } from '../log/output.ts'
import { parseChoice, parseOffset } from '../log/select.ts'
import { Progress, readingOf } from '../progress.ts'
import { replay } from '../replay/replay.ts'

const SCORERS = ['auto', 'zscore', 'onnx'] as const

const NOTES = `
The readings go through the engine that runs at the edge, in order, several FILEs merged by time.
A FILE is one of these, told apart by its first line; '-' is standard input:
  - a table with a header, separated by , ; or tab. Wide: a time and a column a metric. Long: time,
    device, metric, value. Columns site and device say whose; else the file's name is the device's.
  - NDJSON: payloads as devices send them, with their time in ts; 'value: reading' records; or what
    'fieldline log export' writes.
Play files of other times one by one: a device whose file ends early has fallen silent.
Times are s, ms, us or ns since the epoch, by magnitude, or RFC 3339; without a zone they are UTC.

--labels is NDJSON of {site, device, metric, kind, from, to}, as 'fieldline sim --truth' writes, or
JSON of windows as the Numenta Anomaly Benchmark has them.

Exit codes: 0 all of it, 1 a line or cell could not be used (or a file could not), 2 usage,
78 configuration.

Examples:
  $ fieldline replay pump-3.csv
  $ fieldline replay history/*.csv --html report.html
  $ fieldline log export /var/lib/fieldline --since 7d | fieldline replay - -c fieldline.yaml
  $ fieldline replay fleet.csv --time when --device machine --values temp,flow --sensitivity high
`

interface ReplayFlags {
  config?: string
  sensitivity?: Sensitivity
  scorer?: (typeof SCORERS)[number]
  time?: string
  site?: string
  device?: string
  metric?: string
  values?: string[]
  from?: number
  to?: number
  labels?: string
  grace: number
  html?: string
  charts: number
  json?: boolean
}

/** `fieldline replay`: the alerts that one's own history would have brought. */
export function replayCommand(): Command {
  return new Command('replay')
    .description('show which alerts your own history would have brought')
    .argument('<files...>', "CSV or NDJSON; '-' is standard input")
    .option('-c, --config <file>', 'YAML configuration; without one, every default')
    .option(
      '--sensitivity <level>',
      `${SENSITIVITIES.join(', ')}, in place of the configuration's`,
      parseChoice('--sensitivity', SENSITIVITIES)
    )
    .option(
      '--scorer <name>',
      `${SCORERS.join(', ')}, in place of the configuration's`,
      parseChoice('--scorer', SCORERS)
    )
    .option('--time <column>', 'of the time (default: timestamp, time, datetime, date or ts)')
    .option('--device <column>', 'of the device (default: device)')
    .option('--metric <column>', "of the metric's name, in a long table (default: metric)")
    .option('--values <columns>', 'the metrics wanted, with commas (default: all numbers)', listOf)
    .option('--site <name>', 'where the rows name none', nameOf('--site'))
    .option('--from <time>', 'only from this event time on', timeOf('--from'))
    .option('--to <time>', 'only before this event time', timeOf('--to'))
    .option('--labels <file>', 'known faults: what was found, missed, false')
    .option(
      '--grace <duration>',
      'an alert counts for a label until so long behind its end (default: 10m)',
      durationOf('--grace'),
      600_000
    )
    .option('--html <file>', 'write a report with charts')
    .option('--charts <n>', 'series drawn in it, at most', parseOffset('--charts'), 40)
    .option('--json', 'print alert events as NDJSON, and the summary on standard error')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(files: string[], flags: ReplayFlags): Promise<void> {
  const { config } = await loadFieldlineConfig(flags.config ? { file: flags.config } : {})
  if (files.filter(file => file === '-').length > 1) {
    throw new OperationalError('USAGE', "standard input ('-') can be read only once")
  }
  const { time, device, metric, values } = flags
  const progress = new Progress('replay')
  const whole = await replay({
    ...{ files, config, detector: detectorOf(config.detector, flags) },
    columns: {
      ...(time === undefined ? {} : { time }),
      ...(device === undefined ? {} : { device }),
      ...(metric === undefined ? {} : { metric }),
      ...(values === undefined ? {} : { values })
    },
    ...(flags.site === undefined ? {} : { site: flags.site }),
    ...(flags.from === undefined ? {} : { fromAt: flags.from }),
    ...(flags.to === undefined ? {} : { toAt: flags.to }),
    ...(flags.labels === undefined ? {} : { labels: flags.labels }),
    ...(flags.html === undefined ? {} : { html: flags.html }),
    ...{ json: flags.json === true, graceMs: flags.grace, chartsMax: flags.charts },
    output: progress.beside(standardOutput()),
    tell: text => {
      progress.clear()
      process.stderr.write(text)
    },
    onBytes: readingOf(progress, files)
  }).finally(() => progress.end())
  if (!whole) process.exitCode = 1
}

function detectorOf(detector: DetectorConfig, flags: ReplayFlags): DetectorConfig {
  const { scorer = detector.scorer, sensitivity = detector.sensitivity } = flags
  if (scorer === 'onnx' && detector.models.length === 0) {
    const message = '--scorer onnx needs a configuration with detector.models: give it with -c'
    throw new OperationalError('USAGE', message)
  }
  return { ...detector, scorer, sensitivity }
}

function listOf(text: string): string[] {
  const names = text.split(',').map(name => name.trim())
  if (names.every(name => name !== '')) return names
  throw new OperationalError(
    'USAGE',
    `--values is "${text}"; it must be names with commas between.`
  )
}

function nameOf(flag: string): (text: string) => string {
  return text => {
    if (text.trim() !== '') return text
    throw new OperationalError('USAGE', `${flag} is empty.`)
  }
}

function timeOf(flag: string): (text: string) => number {
  return text => {
    const at = instantOf(text)
    if (Number.isFinite(at)) return at
    const what = 'a time like 2026-11-22T08:26:40Z, 2026-11-22 or epoch seconds'
    throw new OperationalError('USAGE', `${flag} is "${text}"; it must be ${what}.`)
  }
}

function durationOf(flag: string): (text: string) => number {
  return text => {
    try {
      return parseDuration(text)
    } catch (error) {
      throw new OperationalError('USAGE', `${flag}: ${(error as Error).message}.`)
    }
  }
}
