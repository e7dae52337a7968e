import { Command } from 'commander'
import type { Kafka } from '../../core/kafka/client.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { nearestName } from '../../core/runtime/nearest.ts'
import { type FieldlineConfig, loadFieldlineConfig } from '../config.ts'
import { readLetters, recordsIn, spanOf } from '../dlq/kafka-letters.ts'
import { replay } from '../dlq/kafka-replay.ts'
import { LetterList } from '../dlq/letter-list.ts'
import { Resending } from '../dlq/resending.ts'
import { isSelected, type Selection } from '../dlq/selection.ts'
import { jsonLine } from '../log/records.ts'
import { parseInstant, parseOffset, parseTopicFilter } from '../log/select.ts'
import { checkBrokersResolve } from '../preflight.ts'
import { Progress } from '../progress.ts'

const EXAMPLES = `
Examples:
  $ fieldline dlq list --kafka localhost:9092 --reason no_route
  $ fieldline dlq list -c fieldline.yaml --since 2h --topic 'plants/p7/#' --json
  $ fieldline dlq replay -c fieldline.yaml --reason no_route --dry-run
  $ fieldline dlq replay -c fieldline.yaml
`

/** `fieldline dlq list | replay`: the dead-letter topic. */
export function dlqCommand(): Command {
  const dlq = new Command('dlq')
    .description('list dead letters, and send them again once the cause is mended')
    .addHelpText('after', EXAMPLES)
  addList(dlq)
  addReplay(dlq)
  return dlq
}

interface SelectFlags extends Selection {
  config?: string
  kafka?: string
  json?: boolean
}

function subcommand(dlq: Command, name: string, description: string): Command {
  const now = () => Date.now()
  return dlq
    .command(name)
    .description(description)
    .option('-c, --config <file>', 'YAML configuration')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--reason <name>', 'fl-reason, or several, comma-separated', text => text.split(','))
    .option('--topic <filter>', "MQTT topic filter, with '+' and '#'", parseTopicFilter)
    .option('--route <name>', 'the route that failed')
    .option('--agent <id>', 'the agent that sent them')
    .option(
      '--since <time>',
      "received at or after; RFC 3339, or '2h' ago",
      parseInstant('--since', now)
    )
    .option('--until <time>', 'received before', parseInstant('--until', now))
    .option('--json', 'print one JSON object')
}

const LIST_NOTES = `
Reads all of the topic, up to its end when the command began. A dead letter's place is
PARTITION/OFFSET. Needs the rights to read the topic and groups named 'fieldline.dlq…'.

Examples:
  $ fieldline dlq list --kafka localhost:9092 --reason no_route
  $ fieldline dlq list -c fieldline.yaml --since 2h --topic 'plants/p7/#' --json
`

interface ListFlags extends SelectFlags {
  limit: number
  oldest: boolean
  bytes: number
}

function addList(dlq: Command): void {
  subcommand(dlq, 'list', 'show dead letters, and how many there are by reason')
    .option('-n, --limit <n>', 'show so many', parseOffset('--limit'), 20)
    .option('--oldest', 'the oldest instead of the newest', false)
    .option('--bytes <n>', 'first bytes of each payload', parseOffset('--bytes'), 200)
    .addHelpText('after', LIST_NOTES)
    .action(list)
}

async function list(flags: ListFlags): Promise<void> {
  const { config, kafka } = await connectable(flags)
  const topic = config.uplink.deadLetterTopic
  const { limit, bytes, oldest } = flags
  const order = oldest ? 'oldest' : 'newest'
  const letters = new LetterList({ limit, order, headBytes: bytes })
  const { first, end } = await spanOf(kafka, topic)
  const progress = new Progress('read', { unit: 'dead letter' })
  const total = recordsIn(first, end)
  let read = 0
  try {
    await readLetters(kafka, topic, first, end, letter => {
      progress.update(++read, total)
      if (isSelected(flags, letter)) letters.add(letter)
      return true
    })
  } finally {
    progress.end()
  }
  process.stdout.write(flags.json ? jsonLine(letters.json(topic)) : `${letters.text(topic)}\n`)
}

const REPLAY_NOTES = `
Mend the configuration (or the topic) first. Each dead letter is rendered anew by today's routes: if
one route failed, by that route alone, as the others have delivered; if none matched, by all. It
keeps its fl-id, and fl-replay-of says which dead letter it was. What still fails is told and left
where it is; so is what was cut, as only its first bytes were kept.

The consumer group remembers which places were sent, in the same transaction as the records: a
second run sends none of them twice, and tries again what was left. Kafka forgets a group that was
not used for offsets.retention.minutes (7 days): replay within that time, or with --since.

Needs the rights to write the routes' topics, and for GROUP as consumer group and as transactional
id; to read the dead-letter topic, with groups named 'fieldline.dlq…'.

Exit codes: 0 nothing is left, 1 some still fail (or Kafka cannot be reached), 2 usage,
78 configuration.

Examples:
  $ fieldline dlq replay -c fieldline.yaml --reason no_route --dry-run
  $ fieldline dlq replay -c fieldline.yaml
`

interface ReplayFlags extends SelectFlags {
  group: string
  limit?: number
  dryRun: boolean
  skipFailing: boolean
  via?: string
}

function addReplay(dlq: Command): void {
  subcommand(dlq, 'replay', 'send dead letters again, by the routes as they are now')
    .option('--group <name>', 'consumer group that remembers what was sent', 'fieldline.dlq')
    .option('-n, --limit <n>', 'send so many dead letters at most', parseOffset('--limit'))
    .option('--dry-run', 'say what it would do, and do nothing', false)
    .option('--via <route>', 'run this route, whichever failed')
    .option('--skip-failing', 'give up what still fails: it is not tried again', false)
    .addHelpText('after', REPLAY_NOTES)
    .action(replayLetters)
}

async function replayLetters(flags: ReplayFlags): Promise<void> {
  const { group, limit = Infinity, dryRun, skipFailing } = flags
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(group)) {
    throw new OperationalError('USAGE', `--group is "${group}"; it must be of A-Z a-z 0-9 . _ -`)
  }
  const { config, kafka } = await connectable(flags)
  const resending = new Resending(config, flags.via ? routeNamed(config, flags.via) : undefined)
  const progress = new Progress('replay', { unit: 'dead letter' })
  const stop = new AbortController()
  const onSignal = () => stop.abort()
  // A second one has the system's own effect; what was sent is remembered either way.
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal)
  try {
    const report = await replay({
      ...{ kafka, group, resending, limit, dryRun, selection: flags },
      topic: config.uplink.deadLetterTopic,
      skip: skipFailing,
      now: () => Date.now(),
      signal: stop.signal,
      onRead: progress.update
    })
    progress.end()
    process.stdout.write(flags.json ? jsonLine(report.json()) : `${report.text()}\n`)
    const isDone = report.leftTotal === 0 || skipFailing
    if (!isDone || report.stopped === 'gaps' || stop.signal.aborted) process.exitCode = 1
  } finally {
    progress.end()
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
  }
}

function routeNamed({ routes }: FieldlineConfig, name: string): FieldlineConfig['routes'][number] {
  const route = routes.find(each => each.name === name)
  if (route) return route
  const names = routes.map(each => each.name)
  const near = nearestName(name, names)
  const hint = near ? `did you mean '${near}'?` : `there are: ${names.slice(0, 20).join(', ')}`
  throw new OperationalError('USAGE', `--via is "${name}", which is no route; ${hint}`)
}

async function connectable(flags: SelectFlags): Promise<{ config: FieldlineConfig; kafka: Kafka }> {
  const { config } = await loadFieldlineConfig({
    ...(flags.config ? { file: flags.config } : {}),
    overrides: flags.kafka ? { kafka: flags.kafka } : {}
  })
  await checkBrokersResolve(config.kafka.brokers)
  return { config, kafka: kafkaFromConfig(config.kafka, 'dlq', createLogger(config.logging.level)) }
}
