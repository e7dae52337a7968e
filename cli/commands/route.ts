import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { type EventId, parseEventId } from '../../core/contract/event-id.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { loadFieldlineConfig } from '../config.ts'
import { jsonLine } from '../log/records.ts'
import { isFine, type TrialMessage, tryMessage } from '../route/trial.ts'
import { trialText } from '../route/trial-text.ts'

const NOTES = `
TOPIC=PAYLOAD is split at the first '='. A payload of the form @FILE is read from the file, '-' from
standard input. Nothing is connected to; the agent's own code decides.

Which readings a route with 'sample' keeps hangs on fl-id: without --id all are shown as kept.

Exit codes: 0 all is delivered, or left out because a route says so; 1 something would be a dead
letter, or refused; 2 usage; 78 configuration.

Examples:
  $ fieldline route test -m 'telemetry/plant7/pump-3={"temperature":61.8}'
  $ fieldline route test -c fieldline.yaml -m plants/p7/pumps/3/temp=61.8 -m plants/p7/pumps/4=x
  $ fieldline route test -c fieldline.yaml -m telemetry/plant7/cam=@frame.bin --json
`

const EXAMPLES = `
Examples:
  $ fieldline route test -c fieldline.yaml -m plants/p7/pumps/3/temp=61.8
`

/** `fieldline route test`: what the routes make of a message. */
export function routeCommand(): Command {
  const route = new Command('route')
    .description('what the routes make of a message')
    .addHelpText('after', EXAMPLES)
  route
    .command('test')
    .description('show where a message would go, without any connection')
    .requiredOption('-m, --message <topic=payload>', 'a message; may be repeated', collect)
    .option('-c, --config <file>', 'YAML configuration; without one, the default route')
    .option('--client <id>', 'client id that publishes it', 'client')
    .option('--qos <n>', 'quality of service, 0 to 2', parseQos, 1)
    .option('--retain', 'with the RETAIN flag', false)
    .option('--id <fl-id>', 'the id it would get: decides what is sampled', parseId)
    .option('--json', 'print one JSON object')
    .addHelpText('after', NOTES)
    .action(test)
  return route
}

interface TestFlags {
  message: string[]
  config?: string
  client: string
  qos: 0 | 1 | 2
  retain: boolean
  id?: EventId
  json?: boolean
}

async function test(flags: TestFlags): Promise<void> {
  const { config } = await loadFieldlineConfig(flags.config ? { file: flags.config } : {})
  if (flags.message.filter(text => text.endsWith('=-')).length > 1) {
    throw new OperationalError('USAGE', "only one message can be read from standard input ('-')")
  }
  const messages = flags.message.map(text => messageFrom(text, flags))
  const now = Date.now()
  const trials = messages.map(message =>
    tryMessage(message, { config, now, ...(flags.id ? { id: flags.id } : {}) })
  )
  const fine = trials.every(isFine)
  if (flags.json) process.stdout.write(jsonLine({ fine, messages: trials }))
  else {
    const texts = trials.map((trial, at) => trialText(trial, messages[at].payload))
    process.stdout.write(`${texts.join('\n\n')}\n`)
  }
  if (!fine) process.exitCode = 1
}

function messageFrom(text: string, { client, qos, retain }: TestFlags): TrialMessage {
  const at = text.indexOf('=')
  if (at < 1) {
    throw new OperationalError('USAGE', `--message is "${text}"; it must be TOPIC=PAYLOAD.`)
  }
  const payload = payloadFrom(text.slice(at + 1))
  return { topic: text.slice(0, at), payload, clientId: client, qos, retain }
}

function payloadFrom(text: string): Buffer {
  if (text !== '-' && !text.startsWith('@')) return Buffer.from(text)
  try {
    return readFileSync(text === '-' ? 0 : text.slice(1))
  } catch (error) {
    const place = text === '-' ? 'standard input' : text.slice(1)
    const message = `${place}: the payload cannot be read: ${messageOf(error)}`
    throw new OperationalError('INPUT_UNREADABLE', message, { cause: error })
  }
}

function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text]
}

function parseQos(text: string): 0 | 1 | 2 {
  const qos = ([0, 1, 2] as const).find(each => String(each) === text)
  if (qos !== undefined) return qos
  throw new OperationalError('USAGE', `--qos is "${text}"; it must be 0, 1 or 2.`)
}

function parseId(text: string): EventId {
  const id = parseEventId(text)
  if (id) return id
  const form = 'AGENT/GENERATION-16 HEX DIGITS/OFFSET, as in gateway-7/1-9f2c03d1a7b4e655/184467'
  throw new OperationalError('USAGE', `--id is "${text}"; it must be ${form}.`)
}
