import { Command } from 'commander'
import { type Address, parseAddress } from '../../core/runtime/address.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Qos } from '../../firmware-sim/device.ts'
import { Fleet, type FleetCounters } from '../../firmware-sim/fleet.ts'
import { checkFleetOptions, type FleetOptions } from '../../firmware-sim/fleet-options.ts'
import { prefixOf, readRecording } from '../../firmware-sim/recording.ts'
import { checkWritable, type Label, writeOutput, writeTruth } from '../../firmware-sim/truth.ts'
import { parseChoice } from '../log/select.ts'
import { Progress } from '../progress.ts'

interface SimFlags {
  mqtt: string
  devices: number
  rate: number
  duration: number
  seed: number
  truth?: string
  ledger?: string
  site: string
  prefix: string
  metrics: number
  faults: 'none' | 'default'
  timeScale: number
  qos: number
  drain: number
  username?: string
  password?: string
  replay?: string
  timeColumn?: string
  valueColumn: string[]
  speed: number
  json: boolean
}

/** Flags that only simulated signals understand, and those that only a recording does. */
const SIGNAL_FLAGS = ['rate', 'metrics', 'faults', 'timeScale'] as const
const REPLAY_FLAGS = ['timeColumn', 'valueColumn', 'speed'] as const

const EXAMPLES = `
The first Ctrl-C stops in order and waits for acknowledgements, the second at once.

Examples:
  $ fieldline sim --mqtt 127.0.0.1:1883 --devices 100
  $ fieldline sim --devices 50 --rate 200 --duration 300 --seed 7 --truth truth.ndjson
  $ fieldline sim --replay pump-3.csv --speed 60 --json
`

/** `fieldline sim`: a fleet of simulated devices, or a recording played as one. */
export function simCommand(): Command {
  return new Command('sim')
    .description(
      'Simulate a fleet of MQTT devices with seeded signals and faults, or play a recording.'
    )
    .option('--mqtt <host:port>', 'MQTT broker', '127.0.0.1:1883')
    .option('--devices <n>', 'devices (default: 100; with --replay 1)', numberFlag('--devices'))
    .option(
      '--rate <r>',
      'messages a second, all devices together (default: 2 a device)',
      numberFlag('--rate')
    )
    .option(
      '--duration <s>',
      'seconds (default: 60; with --replay until its end)',
      numberFlag('--duration')
    )
    .option(
      '--seed <k>',
      'the same seed gives the same readings and faults',
      numberFlag('--seed'),
      1
    )
    .option('--truth <file>', 'write the injected faults here, one JSON object a line')
    .option(
      '--ledger <file>',
      'write here, for each device, the highest sequence up to which all is acknowledged'
    )
    .option('--site <name>', 'site of all devices', 'plant1')
    .option(
      '--prefix <text>',
      'what device names begin with (default: "sim-"; with --replay the file\'s name)'
    )
    .option('--metrics <n>', 'metrics a device', numberFlag('--metrics'), 3)
    .option(
      '--faults <plan>',
      'default: every kind, on 30 % of the devices, after 20 s; or none',
      parseChoice('--faults', ['none', 'default']),
      'default'
    )
    .option(
      '--time-scale <x>',
      'simulated seconds a second, for daily shape and drifts',
      numberFlag('--time-scale'),
      1
    )
    .option('--replay <file>', 'play this CSV file instead of simulated signals')
    .option(
      '--time-column <name>',
      'column of the time (default: timestamp, time, datetime, date or ts)'
    )
    .option(
      '--value-column <name>',
      'column of a value; may be repeated (default: value, else all)',
      collect,
      []
    )
    .option('--speed <x>', 'recorded seconds a second', numberFlag('--speed'), 1)
    .option('--qos <0|1|2>', 'MQTT quality of service', numberFlag('--qos'), 1)
    .option(
      '--drain <s>',
      'seconds to wait at the end for acknowledgements',
      numberFlag('--drain'),
      10
    )
    .option('--username <name>', 'MQTT user')
    .option(
      '--password <text>',
      'MQTT password (or the environment variable FIELDLINE_SIM_PASSWORD)'
    )
    .option('--json', 'print the summary as one JSON object', false)
    .addHelpText('after', EXAMPLES)
    .action(async (_flags: unknown, command: Command) => {
      refuseMixture(command)
      await run(command.opts<SimFlags>())
    })
}

async function run(flags: SimFlags): Promise<void> {
  const options = await fleetOptions(flags)
  checkFleetOptions(options)
  // Found now rather than after a long run.
  for (const file of [flags.truth, flags.ledger]) {
    if (file !== undefined) await checkWritable(file)
  }
  const beganAt = performance.now()
  const progress = new Progress('sim')
  const fleet = new Fleet({
    ...options,
    onCounters: c => progress.say(progressLine(c, performance.now() - beganAt))
  })
  const interrupt = interruption(fleet)
  try {
    await fleet.start()
    await fleet.done
  } finally {
    interrupt.dispose()
    progress.end()
  }
  if (flags.truth !== undefined) await writeTruth(flags.truth, fleet.truth())
  if (flags.ledger !== undefined) {
    await writeOutput(flags.ledger, `${JSON.stringify(fleet.ledger())}\n`)
  }
  const counters = fleet.counters()
  const elapsedMs = Math.round(performance.now() - beganAt)
  process.stdout.write(
    flags.json
      ? `${JSON.stringify(jsonSummary(counters, fleet.truth(), flags, elapsedMs))}\n`
      : plainSummary(counters, fleet.truth(), flags, elapsedMs)
  )
  if (counters.taken > 0 && counters.sent === 0) {
    process.exitCode = 1
    const why = counters.lastError ?? 'no connection was accepted'
    process.stderr.write(
      `fieldline sim: no device could connect to ${flags.mqtt}: ${why}. Start a broker there, or name another with --mqtt.\n`
    )
  }
}

async function fleetOptions(flags: SimFlags): Promise<FleetOptions> {
  const { host, port } = brokerAddress(flags.mqtt)
  const devices = flags.devices ?? (flags.replay === undefined ? 100 : 1)
  const shared = {
    host,
    port,
    devices,
    rate: flags.rate ?? devices * 2,
    seed: flags.seed,
    site: flags.site,
    qos: flags.qos as Qos,
    drainMsMax: flags.drain * 1000,
    username: flags.username,
    password: flags.password ?? process.env.FIELDLINE_SIM_PASSWORD
  }
  if (flags.replay === undefined) {
    return {
      ...shared,
      durationMs: (flags.duration ?? 60) * 1000,
      prefix: flags.prefix ?? 'sim-',
      metrics: flags.metrics,
      timeScale: flags.timeScale,
      faults: faultPlan(flags.faults)
    }
  }
  const recording = await readRecording(flags.replay, {
    time: flags.timeColumn,
    values: flags.valueColumn
  })
  return {
    ...shared,
    durationMs: (flags.duration ?? 365 * 86_400) * 1000,
    prefix: flags.prefix ?? prefixOf(flags.replay),
    recording,
    speed: flags.speed
  }
}

function faultPlan(name: string): FleetOptions['faults'] {
  if (name === 'none') return false
  if (name === 'default') return {}
  throw new OperationalError('USAGE', `--faults is "${name}"; it must be none or default.`)
}

/** Ctrl-C once: stop in order. Twice: at once. */
function interruption(fleet: Fleet): { dispose(): void } {
  let count = 0
  const onSignal = (): void => {
    if (++count > 1) process.exit(130)
    process.stderr.write('\nStopping: waiting for acknowledgements. Once more to stop at once.\n')
    void fleet.stop()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    dispose() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }
}

function refuseMixture(command: Command): void {
  const replay = command.getOptionValue('replay') !== undefined
  for (const name of replay ? SIGNAL_FLAGS : REPLAY_FLAGS) {
    if (command.getOptionValueSource(name) !== 'cli') continue
    const flag = `--${name.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`)}`
    throw new OperationalError(
      'USAGE',
      replay
        ? `${flag} is for simulated signals and means nothing with --replay. Leave one of them out.`
        : `${flag} is about a recording: name one with --replay FILE, or leave ${flag} out.`
    )
  }
}

function brokerAddress(text: string): Address {
  try {
    return parseAddress(text)
  } catch (error) {
    throw new OperationalError('USAGE', `--mqtt: ${messageOf(error)} (plain MQTT, no TLS).`)
  }
}

function numberFlag(flag: string): (text: string) => number {
  return text => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (Number.isFinite(value)) return value
    throw new OperationalError('USAGE', `${flag} is "${text}"; it must be a number.`)
  }
}

function collect(text: string, before: string[]): string[] {
  return [...before, text]
}

function progressLine(c: FleetCounters, elapsedMs: number): string {
  const trouble = c.lastError === undefined ? '' : `  (${c.lastError})`
  return (
    `${Math.round(elapsedMs / 1000)} s  ${c.connected}/${c.devices} connected  ` +
    `${c.sent} sent  ${c.acknowledged} acknowledged  ${c.waiting + c.inFlight} waiting  ` +
    `p99 ${c.latencyMs.p99} ms${trouble}`
  )
}

function jsonSummary(c: FleetCounters, truth: Label[], flags: SimFlags, elapsedMs: number): object {
  return {
    ...c,
    unacknowledged: c.waiting + c.inFlight,
    elapsedMs,
    seed: flags.seed,
    faults: countByKind(truth),
    truth: flags.truth ?? null,
    ledger: flags.ledger ?? null
  }
}

function plainSummary(
  c: FleetCounters,
  truth: Label[],
  flags: SimFlags,
  elapsedMs: number
): string {
  const faults = Object.entries(countByKind(truth)).map(([kind, n]) => `${n} ${kind}`)
  const { p50, p95, p99, max } = c.latencyMs
  return [
    `${c.devices} devices, seed ${flags.seed}, ${(elapsedMs / 1000).toFixed(1)} s`,
    `taken ${c.taken}, sent ${c.sent}, acknowledged ${c.acknowledged}, not acknowledged ${c.waiting + c.inFlight}`,
    `sent again ${c.resent}, reconnects ${c.reconnects}, dropped (buffer full) ${c.dropped}`,
    `acknowledged after: median ${p50} ms, 95 % ${p95} ms, 99 % ${p99} ms, longest ${max} ms`,
    `faults: ${faults.length === 0 ? 'none' : faults.join(', ')}${flags.truth === undefined ? '' : ` (in ${flags.truth})`}`,
    ''
  ].join('\n')
}

function countByKind(truth: readonly Label[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { kind } of truth) counts[kind] = (counts[kind] ?? 0) + 1
  return counts
}
