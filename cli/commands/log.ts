import { Command } from 'commander'
import { inspectLog } from '../../core/log/inspect.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { type VerifyReport, verifyLog } from '../../core/log/verify.ts'
import { exportLog } from '../log/export.ts'
import { inspectText } from '../log/inspect-text.ts'
import { fileOutput, standardOutput } from '../log/output.ts'
import { findLogs, isOwned, LANES, type Lane, type LogPlace, reading } from '../log/places.ts'
import { timeOf } from '../log/records.ts'
import { repairPlaces } from '../log/repair.ts'
import {
  parseChoice,
  parseInstant,
  parseOffset,
  parseTopicFilter,
  type Selection
} from '../log/select.ts'
import { tailLog } from '../log/tail.ts'
import { repairText, verifyText } from '../log/verify-text.ts'
import { Progress } from '../progress.ts'

const EXAMPLES = `
DIR is the agent's data directory (it holds telemetry/ and alerts/), or a log directory itself.
Only 'repair' needs the agent to be stopped; the others look on, and change nothing.

Examples:
  $ fieldline log inspect /var/lib/fieldline
  $ fieldline log verify /var/lib/fieldline && echo sound
  $ fieldline log repair /var/lib/fieldline --dry-run
  $ fieldline log export /var/lib/fieldline --since 2h --topic 'telemetry/plant7/#' --out last.ndjson
  $ fieldline log tail /var/lib/fieldline --follow
`

/** `fieldline log inspect | verify | repair | export | tail`: the log's files, seen from outside. */
export function logCommand(): Command {
  const log = new Command('log')
    .description('look at the log on disk, check it, repair it, get records out of it')
    .addHelpText('after', EXAMPLES)
  addInspect(log)
  addVerify(log)
  addRepair(log)
  addExport(log)
  addTail(log)
  return log
}

interface LaneFlags {
  lane?: Lane
  json?: boolean
}

function subcommand(log: Command, name: string, description: string, lane: string): Command {
  return log
    .command(name)
    .description(description)
    .argument('<dir>', "the agent's data directory, or a log directory")
    .option('--lane <name>', `telemetry or alerts (default: ${lane})`, parseChoice('--lane', LANES))
}

const INSPECT_NOTES = `
Times are UTC. Damage inside segments is found by: fieldline log verify
Beside a detector, the cursor 'devices' stands behind the last message that was of a device.

Examples:
  $ fieldline log inspect /var/lib/fieldline
  $ fieldline log inspect /var/lib/fieldline --lane alerts --json
`

function addInspect(log: Command): void {
  subcommand(log, 'inspect', 'sum up what is there: segments, cursors, quarantine', 'all')
    .option('--json', 'print one JSON object')
    .addHelpText('after', INSPECT_NOTES)
    .action(inspect)
}

async function inspect(directory: string, { lane, json }: LaneFlags): Promise<void> {
  const now = Date.now()
  const logs: object[] = []
  const texts: string[] = []
  for (const place of findLogs(directory, lane)) {
    const owned = isOwned(place)
    const summary = await reading(place, () =>
      inspectLog(nodeDisk, place.directory, payload => timeOf(place, payload))
    )
    logs.push({ lane: place.lane, owned, ...summary })
    texts.push(inspectText(place, summary, owned, now))
  }
  await print(json ? JSON.stringify({ logs }) : texts.join('\n\n'))
}

const VERIFY_NOTES = `
Exit codes: 0 sound, 1 defects found (or the directory cannot be read), 2 usage.

A defect is told as FILE:POSITION, with its bytes and the records it costs. Notes are harmless:
bytes in flight (a running agent is writing them), files that are not the log's, segments of a
newer format, losses that a repair has written down.

Examples:
  $ fieldline log verify /var/lib/fieldline && echo sound
  $ fieldline log verify /var/lib/fieldline --json
`

function addVerify(log: Command): void {
  subcommand(log, 'verify', 'read every record and tell every defect; changes nothing', 'all')
    .option('--json', 'print one JSON object')
    .addHelpText('after', VERIFY_NOTES)
    .action(verify)
}

async function verify(directory: string, { lane, json }: LaneFlags): Promise<void> {
  const logs: ({ lane: Lane; live: boolean } & VerifyReport)[] = []
  const texts: string[] = []
  for (const place of findLogs(directory, lane)) {
    const live = isOwned(place)
    const report = await withProgress(place, 'verify', onProgress =>
      verifyLog(nodeDisk, place.directory, { live, onProgress })
    )
    logs.push({ lane: place.lane, live, ...report })
    texts.push(verifyText(place, report))
  }
  const sound = logs.every(each => each.sound)
  await print(json ? JSON.stringify({ sound, logs }) : texts.join('\n\n'))
  if (!sound) process.exitCode = 1
}

const REPAIR_NOTES = `
Needs the agent to be stopped. Bad bytes and files go to quarantine/ in the log directory; every
valid record stays, with the same epoch and offset. Records that cannot be brought back are written
down in the file 'losses', so that verify finds the log sound. An agent's own start sets aside what
it must by itself: repair is for what it leaves to be found by readers.

Exit codes: 0 sound now (with --dry-run: always), 1 defects left or nothing could be done, 2 usage.

Examples:
  $ fieldline log repair /var/lib/fieldline --dry-run
  $ fieldline log repair /var/lib/fieldline
`

function addRepair(log: Command): void {
  subcommand(log, 'repair', 'set aside what is bad, and only that', 'all')
    .option('--dry-run', 'say what it would do, and do nothing')
    .option('--json', 'print one JSON object')
    .addHelpText('after', REPAIR_NOTES)
    .action(repair)
}

async function repair(
  directory: string,
  { lane, json, dryRun = false }: LaneFlags & { dryRun?: boolean }
): Promise<void> {
  const done = await repairPlaces(findLogs(directory, lane), dryRun)
  const sound = done.every(({ report }) => report.after.sound)
  const logs = done.map(({ place, report }) => ({ lane: place.lane, ...report }))
  const texts = done.map(({ place, report }) => repairText(place, report))
  await print(json ? JSON.stringify({ sound, logs }) : texts.join('\n\n'))
  if (!sound && !dryRun) process.exitCode = 1
}

const EXPORT_NOTES = `
A telemetry record is {id, epoch, offset, topic, clientId, qos, dup, retain, receivedAt, payload};
receivedAt is in epoch ms; a payload that is no UTF-8 is in base64, with "payloadEncoding":"base64";
MQTT 5 properties, where there are any, are in "properties".
A record that this version cannot read is {id, epoch, offset, record} in base64. The alert lane
gives its events, times are theirs. From the log of a running agent the newest records may be ones
that it has not acknowledged yet.

What is damaged is skipped and told on standard error.
Exit codes: 0 all of it, 1 something was skipped (or the directory cannot be read), 2 usage.

Examples:
  $ fieldline log export /var/lib/fieldline --out history.ndjson
  $ fieldline log export /var/lib/fieldline --since 2h --topic 'telemetry/plant7/#'
`

interface ExportFlags extends Selection {
  lane?: Lane
  from?: number
  to?: number
  limit?: number
  format: 'ndjson' | 'raw'
  newline: boolean
  out?: string
}

function addExport(log: Command): void {
  const now = () => Date.now()
  const command = subcommand(log, 'export', 'write records as NDJSON or raw payloads', 'telemetry')
  command
    .option('--from <offset>', 'first offset', parseOffset('--from'))
    .option('--to <offset>', 'offset behind the last', parseOffset('--to'))
    .option(
      '--since <time>',
      "received at or after; RFC 3339, or '2h' ago",
      parseInstant('--since', now)
    )
    .option('--until <time>', 'received before', parseInstant('--until', now))
    .option('--topic <filter>', "MQTT topic filter, with '+' and '#'", parseTopicFilter)
    .option('--limit <n>', 'at most so many', parseOffset('--limit'))
    .option(
      '--format <name>',
      'ndjson or raw',
      parseChoice('--format', ['ndjson', 'raw']),
      'ndjson'
    )
    .option('--no-newline', 'with --format raw: nothing between payloads')
    .option('--out <file>', 'write here instead of standard output')
    .addHelpText('after', EXPORT_NOTES)
    .action(exportRecords)
}

async function exportRecords(directory: string, flags: ExportFlags): Promise<void> {
  const { lane, out, newline, ...selection } = flags
  const place = oneLog(directory, lane)
  const output = out === undefined ? standardOutput() : await fileOutput(out)
  const progress = new Progress(`export ${place.lane}`, { unit: 'record' })
  // Records on the same terminal are progress enough.
  const isSeen = out === undefined && process.stdout.isTTY
  try {
    const { whole } = await exportLog(place, output, {
      ...selection,
      delimiter: newline ? '\n' : '',
      live: isOwned(place),
      onPassed: message => {
        progress.clear()
        tell(message)
      },
      ...(isSeen ? {} : { onEntries: progress.update })
    })
    if (!whole) process.exitCode = 1
  } finally {
    progress.end()
  }
}

const TAIL_NOTES = `
From the log of a running agent it shows what surely stays: up to the last checkpointed end, and all
of the sealed segments. That is ten seconds old at most; --unsettled shows the newest records too,
among them perhaps some that are not acknowledged yet.
Ctrl-C ends it with exit code 0.

Examples:
  $ fieldline log tail /var/lib/fieldline
  $ fieldline log tail /var/lib/fieldline --follow --json
`

interface TailFlags {
  lane?: Lane
  lines: number
  follow?: boolean
  topic?: string
  unsettled?: boolean
  json?: boolean
}

function addTail(log: Command): void {
  subcommand(log, 'tail', 'show the last records, and with --follow what comes', 'telemetry')
    .option('-n, --lines <n>', 'records to begin with', parseOffset('--lines'), 10)
    .option('-f, --follow', 'go on with what comes')
    .option('--topic <filter>', "MQTT topic filter, with '+' and '#'", parseTopicFilter)
    .option('--unsettled', 'also what no checkpoint covers yet')
    .option('--json', 'as NDJSON, like export')
    .addHelpText('after', TAIL_NOTES)
    .action(tail)
}

async function tail(directory: string, flags: TailFlags): Promise<void> {
  const { lane, follow = false, unsettled = false, json = false, lines, topic } = flags
  const place = oneLog(directory, lane)
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  // A second one has the system's own effect.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    await tailLog(place, standardOutput(stop.signal), {
      ...{ lines, follow, unsettled, json },
      ...(topic === undefined ? {} : { topic }),
      signal: stop.signal,
      onPassed: tell
    })
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

/** Telemetry if there is a choice. */
function oneLog(directory: string, lane: Lane | undefined): LogPlace {
  return findLogs(directory, lane)[0]
}

function tell(message: string): void {
  process.stderr.write(`fieldline: ${message}\n`)
}

function print(text: string): Promise<void> {
  return standardOutput().write(`${text}\n`)
}

async function withProgress<T>(
  place: LogPlace,
  what: string,
  task: (onProgress: Progress['show']) => Promise<T>
): Promise<T> {
  const progress = new Progress(`${what} ${place.lane}`)
  try {
    return await reading(place, () => task(progress.show))
  } finally {
    progress.end()
  }
}
