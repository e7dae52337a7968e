import fs from 'node:fs'
import path from 'node:path'
import { Command } from 'commander'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import { instantOf } from '../../detector/source/history-time.ts'
import { type AlarmBudget, parseBudget } from '../../detector/train/alarm-budget.ts'
import { toOnnx } from '../../detector/train/innovation-graph.ts'
import { train } from '../../detector/train/train.ts'
import { reportOf } from '../../detector/train/training-report.ts'
import { loadFieldlineConfig } from '../config.ts'
import { jsonLine } from '../log/records.ts'
import { checkBrokersResolve } from '../preflight.ts'
import { Progress, readingOf } from '../progress.ts'
import { readTopic } from '../train/kafka-history.ts'
import { type Recorded, readFiles, type Wanted } from '../train/recorded-history.ts'
import { trainText } from '../train/train-text.ts'

const NOTES = `
Learns how the metrics of one kind of device move together: each is forecast from the last rows of
all, and lasting errors of the forecasts are measured against the usual ones. Give the history of
ordinary operation; a fault in it is learned as ordinary. Rows of several devices may be given; no
window spans two of them.

A FILE is a table with a header, separated by , ; or tab, or NDJSON, as 'fieldline replay' takes
them. Without FILE the history is a Kafka topic of telemetry, up to its present end.

The threshold is set so that false alarms keep within --false-alarms, on rows that a rehearsal of
the training did not see: 1/week for each device (hour, day, month, year), or a share of the time,
as 1%. --prior is a recording of the same metrics without anomalies, for histories that are short.

Use it with
  detector: { scorer: onnx, models: [{ name: pumps, path: DIR, devices: ['pump-*'] }] }

Examples:
  $ fieldline train pump-1.csv pump-2.csv --out models/pumps
  $ fieldline train rig.csv --time datetime --prior healthy.csv --false-alarms 2/day
  $ fieldline train --kafka localhost:9092 --devices 'pump-*' --from 2026-11-01 --out models/pumps
`

const BUDGET = '1/week'

interface TrainFlags {
  out: string
  prior?: string[]
  falseAlarms?: AlarmBudget
  time?: string
  device?: string
  metric?: string
  values?: string[]
  devices?: string[]
  from?: number
  to?: number
  every?: number
  smooth?: number
  config?: string
  kafka?: string
  topic?: string
  json?: boolean
}

/** `fieldline train`: a detector for one kind of device, from its history. */
export function trainCommand(): Command {
  return new Command('train')
    .description('make an ONNX model for one kind of device from its recorded history')
    .argument('[files...]', "CSV or NDJSON; '-' is standard input; none: Kafka")
    .option('--out <dir>', 'where model.onnx and model.json go', '.')
    .option('--prior <files>', 'recordings without anomalies, with commas', listOf)
    .option('--false-alarms <budget>', `what is bearable (default: ${BUDGET})`, parseBudget)
    .option('--time <column>', 'of the time (default: timestamp, time, datetime, date or ts)')
    .option('--device <column>', 'of the device (default: device)')
    .option('--metric <column>', "of the metric's name, in a long table (default: metric)")
    .option('--values <columns>', 'the metrics wanted, with commas (default: all numbers)', listOf)
    .option('--devices <names>', "only these, with commas; '*' stands for any text", listOf)
    .option('--from <time>', 'only from this event time on', timeOf('--from'))
    .option('--to <time>', 'only before this event time', timeOf('--to'))
    .option('--every <duration>', "from row to row (default: the metrics' pace)", spanOf('--every'))
    .option(
      '--smooth <duration>',
      'average of forecast errors (default: 20s, and at least 5 rows)',
      spanOf('--smooth')
    )
    .option('-c, --config <file>', 'YAML configuration, for Kafka and its routes')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--topic <name>', "Kafka topic (default: the first of the detector's)")
    .option('--json', 'print one JSON object')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(files: string[], flags: TrainFlags): Promise<void> {
  const recorded = await read(files, flags)
  const { history } = recorded
  const prior = flags.prior && (await readPrior(flags.prior, recorded, flags))
  const detector = train(history, {
    budget: flags.falseAlarms ?? parseBudget(BUDGET),
    ...(flags.smooth === undefined
      ? {}
      : { smoothRows: Math.max(1, Math.round(flags.smooth / history.everyMs)) }),
    ...(prior ? { prior } : {})
  })
  const written = write(flags.out, toOnnx(detector))
  const report = reportOf(history, detector)
  const { devices, readings, unusable, seldom } = recorded
  const taken = { devices, readings, unusable, seldom }
  process.stdout.write(
    flags.json
      ? jsonLine({ files: written, read: taken, ...report })
      : `${trainText(report, recorded, written)}\n`
  )
}

async function read(files: string[], flags: TrainFlags): Promise<Recorded> {
  if (files.length === 0) return ofKafka(flags)
  const progress = new Progress('read')
  return readFiles(files, wantedOf(flags), readingOf(progress, files)).finally(() => progress.end())
}

function wantedOf(flags: TrainFlags): Wanted {
  const { time, device, metric, values, devices, from, to, every } = flags
  return {
    columns: {
      ...(time === undefined ? {} : { time }),
      ...(device === undefined ? {} : { device }),
      ...(metric === undefined ? {} : { metric }),
      ...(values === undefined ? {} : { values })
    },
    ...(devices === undefined ? {} : { devices }),
    ...(from === undefined ? {} : { fromAt: from }),
    ...(to === undefined ? {} : { toAt: to }),
    ...(every === undefined ? {} : { everyMs: every })
  }
}

/** All of them, whenever it was and whosever they are; on the history's own grid. */
async function readPrior(files: string[], { history }: Recorded, flags: TrainFlags) {
  const { columns } = wantedOf(flags)
  return (await readFiles(files, { columns, everyMs: history.everyMs })).history
}

async function ofKafka(flags: TrainFlags): Promise<Recorded> {
  if (flags.kafka === undefined && flags.config === undefined) {
    throw new OperationalError('USAGE', 'give files of history, or --kafka (or -c) for a topic')
  }
  const { config } = await loadFieldlineConfig({
    ...(flags.config ? { file: flags.config } : {}),
    overrides: flags.kafka ? { kafka: flags.kafka } : {}
  })
  await checkBrokersResolve(config.kafka.brokers)
  const kafka = kafkaFromConfig(config.kafka, 'train', createLogger(config.logging.level))
  const topic = flags.topic ?? config.detector.topics[0]
  const progress = new Progress(`read ${topic}`, { unit: 'record' })
  return readTopic(kafka, topic, config.routes, wantedOf(flags), progress.update).finally(() =>
    progress.end()
  )
}

function write(directory: string, { onnx, json }: { onnx: Buffer; json: string }): string[] {
  const model = path.join(directory, 'model.onnx')
  const sidecar = path.join(directory, 'model.json')
  try {
    fs.mkdirSync(directory, { recursive: true })
    // Whole or not at all: an agent may be watching.
    for (const [file, bytes] of [
      [model, onnx],
      [sidecar, json]
    ] as const) {
      fs.writeFileSync(`${file}.tmp`, bytes)
      fs.renameSync(`${file}.tmp`, file)
    }
  } catch (error) {
    const message = `'${directory}' cannot be written: ${messageOf(error)}. Choose another --out.`
    throw new OperationalError('DIRECTORY_UNUSABLE', message, { cause: error })
  }
  return [model, sidecar]
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map(each => each.trim())
    .filter(each => each !== '')
}

function timeOf(flag: string): (text: string) => number {
  return text => {
    const at = instantOf(text)
    if (Number.isFinite(at)) return at
    throw new OperationalError('USAGE', `${flag} is "${text}"; write it as 2026-11-22T08:00:00Z`)
  }
}

function spanOf(flag: string): (text: string) => number {
  return text => {
    try {
      const ms = parseDuration(text)
      if (ms > 0) return ms
    } catch {
      // Said below, with the flag's name.
    }
    throw new OperationalError('USAGE', `${flag} is "${text}"; write it as 20s, 500ms or 5m`)
  }
}
