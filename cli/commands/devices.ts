import { Command, Option } from 'commander'
import {
  DEVICE_SORTS,
  type DeviceSort,
  type DevicesLook,
  type DevicesRequest
} from '../../agent/devices/device-registry.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import { devicesText } from '../devices/devices-text.ts'
import { LIMIT_MAX, queryOf } from '../devices/page.ts'
import { savedDevices } from '../devices/saved-devices.ts'
import { standardOutput } from '../log/output.ts'
import { durationText } from '../log/text.ts'
import { StatusClient } from '../status/status-client.ts'
import { DEFAULT_URL, targetOf } from '../status/target.ts'
import { paintFor } from '../terminal/paint.ts'
import { requireTerminal, watch } from '../terminal/watch.ts'

const LIMIT = 100

const NOTES = `
A device is known from its first message on that a route wants, and stays so over restarts; at
agent.devices_max the one unheard for longest makes room. Rates are over about a minute, by the time
of receipt. 'client +1' says that another client has spoken for the device within ten minutes. Where
to ask, and the token: as with 'fieldline status'. --data reads what was saved last: every ten
minutes, and when the agent was stopped.

Exit codes: 0 fine, 1 nothing to be had, 2 usage, 78 configuration.

Examples:
  $ fieldline devices
  $ fieldline devices --find pump --sort rate
  $ fieldline devices --silent-for 10m --json
  $ fieldline devices -c /etc/fieldline/fieldline.yaml --watch
  $ fieldline devices --data /var/lib/fieldline
`

interface DevicesFlags {
  config?: string
  tokenFile?: string
  data?: string
  find?: string
  sort?: DeviceSort
  limit: number
  silentFor?: number
  json?: boolean
  watch?: boolean
}

/** `fieldline devices`: whom an agent has heard. */
export function devicesCommand(): Command {
  return new Command('devices')
    .description('list the devices that an agent has heard: when, how often, what they said last')
    .argument('[url]', `its HTTP address (default: ${DEFAULT_URL})`)
    .option('-c, --config <file>', 'YAML configuration that it runs with: address and token')
    .option('--token-file <file>', 'file that holds the token of its pages')
    .option('--data <dir>', 'read the data directory instead, also of an agent that is not running')
    .option('--find <text>', 'only those whose name or client holds it')
    .addOption(
      new Option('--sort <by>', 'last heard first, most often, by name, newest first').choices(
        DEVICE_SORTS
      )
    )
    .option('--limit <n>', 'list so many at most', parseLimit, LIMIT)
    .option('--silent-for <time>', 'only those not heard for so long', parseSilentFor)
    .option('--json', 'print one JSON object')
    .option('--watch', 'go on, on the whole terminal; q ends it')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(url: string | undefined, flags: DevicesFlags): Promise<void> {
  refuseContradictions(url, flags)
  const { find, sort, limit, silentFor: silentForMs } = flags
  const request: DevicesRequest = {
    ...(find === undefined ? {} : { find }),
    ...(sort === undefined ? {} : { sort }),
    ...(silentForMs === undefined ? {} : { silentForMs }),
    limit
  }
  const paint = paintFor(process.env, process.stdout)
  const write = (look: DevicesLook, ...below: string[]) => {
    const lines = flags.json ? [JSON.stringify(look)] : [...devicesText(look, paint), ...below]
    return standardOutput().write(`${lines.join('\n').replace(/^\n/, '')}\n`)
  }
  if (flags.data !== undefined) {
    const now = Date.now()
    const { look, savedAt } = await savedDevices(flags.data, request, now)
    return write(look, `As of ${durationText(now - savedAt)} ago.`)
  }
  const client = new StatusClient(await targetOf(url, flags))
  let look = await client.devices(queryOf(request))
  if (!flags.watch) return write(look)
  await watch({
    ...{ paint, input: process.stdin, output: process.stdout },
    read: async () => {
      look = await client.devices(queryOf(request))
    },
    lines: () => devicesText(look, paint)
  })
}

/** @throws {OperationalError} USAGE */
function refuseContradictions(url: string | undefined, flags: DevicesFlags): void {
  const { data, config, tokenFile, json, watch } = flags
  const online = [
    ...[url !== undefined && 'URL', config !== undefined && '-c'],
    ...[tokenFile !== undefined && '--token-file', watch && '--watch']
  ].find(flag => flag !== false && flag !== undefined)
  const pair =
    data !== undefined && online ? ['--data', online] : watch && json ? ['--watch', '--json'] : []
  if (pair.length > 0) {
    throw new OperationalError('USAGE', `${pair.join(' and ')} do not go together.`)
  }
  if (watch) requireTerminal()
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text) && Number(text) <= LIMIT_MAX) return Number(text)
  throw new OperationalError('USAGE', `--limit is "${text}": expected 1 to ${LIMIT_MAX}.`)
}

function parseSilentFor(text: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new OperationalError('USAGE', `--silent-for: ${messageOf(error)}`)
  }
}
