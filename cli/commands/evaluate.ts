import { Command, Option } from 'commander'
import { type DetectorConfig, detectorSchema } from '../../detector/config.ts'
import { nabReport } from '../../detector/evaluate/nab-report.ts'
import { FLOORS, replaySeries } from '../../detector/evaluate/replay-series.ts'
import { judgeSkabFile, SKAB_BUDGET, skabPrior } from '../../detector/evaluate/skab.ts'
import { SENSITIVITIES, type Sensitivity } from '../../detector/scorer/scorer.ts'
import { readNab, readProfiles, writeNab } from '../evaluate/nab-files.ts'
import { nabText } from '../evaluate/nab-text.ts'
import { readSkab, writeSkab } from '../evaluate/skab-files.ts'
import { skabJson, skabText } from '../evaluate/skab-text.ts'
import { Progress } from '../progress.ts'

const NAB_HELP = `
The product's own scorer and alert decision run over every file, at its default configuration, and
are judged as the benchmark does; beside them what anybody can do without a detector.

Examples:
  $ git clone https://github.com/numenta/NAB && cd NAB
  $ fieldline evaluate nab --data data --windows labels/combined_windows.json \\
      --profiles config/profiles.json --sensitivity high
`

const SKAB_HELP = `
'fieldline train' as it stands: each file's first 400 rows are the history, the recording without
anomalies is the prior, and the rest of the file is judged row by row. --out writes datetime,alarm
for each file.

Examples:
  $ git clone https://github.com/waico/SKAB && cd SKAB
  $ fieldline evaluate skab --data data
`

const EXAMPLES = `
In a clone of the benchmark.

Examples:
  $ fieldline evaluate skab --data data
  $ fieldline evaluate nab --help
`

/** `fieldline evaluate nab | skab`: how good the alerts are, on data with known anomalies. */
export function evaluateCommand(): Command {
  const evaluate = new Command('evaluate')
    .description('judge the detector on labelled data')
    .addHelpText('after', EXAMPLES)
  evaluate
    .command('nab')
    .description('judge it as the Numenta Anomaly Benchmark does')
    .requiredOption('--data <dir>', 'directory with <category>/<file>.csv')
    .requiredOption('--windows <file>', "the benchmark's combined_windows.json")
    .requiredOption('--profiles <file>', "the benchmark's profiles.json")
    .addOption(
      new Option('--sensitivity <level>', 'that results are told of')
        .choices(SENSITIVITIES)
        .default('normal')
    )
    .addOption(
      new Option('--scorer <name>', 'that is judged').choices(['auto', 'zscore']).default('auto')
    )
    .option('--out <dir>', "write results as <category>/<file>.csv, in the benchmark's layout")
    .option('--json', 'print one JSON object')
    .addHelpText('after', NAB_HELP)
    .action(evaluateNab)
  evaluate
    .command('skab')
    .description('judge trained models as the Skoltech Anomaly Benchmark does')
    .requiredOption('--data <dir>', 'directory with anomaly-free/ and folders of labelled files')
    .option('--out <dir>', 'write alarms as <folder>/<file>.csv')
    .option('--json', 'print one JSON object')
    .addHelpText('after', SKAB_HELP)
    .action(evaluateSkab)
  return evaluate
}

interface NabFlags {
  data: string
  windows: string
  profiles: string
  sensitivity: Sensitivity
  scorer: 'auto' | 'zscore'
  out?: string
  json?: boolean
}

async function evaluateNab(flags: NabFlags): Promise<void> {
  const profiles = readProfiles(flags.profiles)
  const files = readNab(flags.data, flags.windows)
  const reports = []
  const progress = new Progress('play', { unit: 'file' })
  let played = 0
  for (const sensitivity of SENSITIVITIES) {
    const config = detectorConfig(flags.scorer, sensitivity)
    const judged = []
    for (const series of files) {
      judged.push(await replaySeries(config, series))
      progress.update(++played, files.length * SENSITIVITIES.length)
    }
    reports.push(nabReport(nameOf(flags.scorer, sensitivity), profiles, judged))
    if (flags.out !== undefined && sensitivity === flags.sensitivity) writeNab(flags.out, judged)
  }
  progress.end()
  for (const [name, floor] of Object.entries(FLOORS)) {
    const judged = files.map(series => ({ series, scores: floor(series) }))
    reports.push(nabReport(name, profiles, judged))
  }
  const chosen = nameOf(flags.scorer, flags.sensitivity)
  const rows = files.reduce((all, { rows }) => all + rows, 0)
  process.stdout.write(
    flags.json
      ? `${JSON.stringify({ chosen, files: files.length, rows, reports }, null, 2)}\n`
      : `${files.length} files, ${rows} rows\n\n${nabText(reports, chosen)}`
  )
}

function evaluateSkab({ data, out, json }: { data: string; out?: string; json?: boolean }): void {
  const { free, files } = readSkab(data)
  const prior = skabPrior(free)
  const progress = new Progress('train and judge', { unit: 'file' })
  const results = files.map((file, index) => {
    const result = judgeSkabFile(file, prior)
    progress.update(index + 1, files.length)
    return result
  })
  progress.end()
  if (out !== undefined) writeSkab(out, results)
  process.stdout.write(
    json
      ? `${JSON.stringify(skabJson(results, SKAB_BUDGET), null, 2)}\n`
      : skabText(results, SKAB_BUDGET)
  )
}

function nameOf(scorer: string, sensitivity: string): string {
  return `${scorer}, ${sensitivity}`
}

function detectorConfig(scorer: 'auto' | 'zscore', sensitivity: Sensitivity): DetectorConfig {
  return detectorSchema.parse({ scorer, sensitivity })
}
