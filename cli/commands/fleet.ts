import { Command } from 'commander'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { nearestName } from '../../core/runtime/nearest.ts'
import { formatDuration, parseDuration } from '../../core/runtime/units.ts'
import { loadFieldlineConfig } from '../config.ts'
import { fleetText } from '../fleet/fleet-text.ts'
import {
  FLEET_STATES,
  type FleetState,
  fleetJson,
  fleetOf,
  parseStates
} from '../fleet/fleet-view.ts'
import { FleetReader, forgetAgent } from '../fleet/kafka-fleet.ts'
import { watchFleet } from '../fleet/watch.ts'
import { standardOutput } from '../log/output.ts'
import { checkBrokersResolve } from '../preflight.ts'
import { paintFor } from '../terminal/paint.ts'
import { requireTerminal } from '../terminal/watch.ts'

const EXIT_STATE = 3

const NOTES = `
Every agent says how it is in the topic that uplink.status_topic names, every
uplink.status_interval and once more when it is stopped. One that has missed three words is away.

States of --fail-on, worst first: ${FLEET_STATES.join(', ')}.

Exit codes: 0 fine, 1 Kafka does not tell, 2 usage, 3 an agent is in a state of --fail-on (it is
named on standard error), 78 configuration.

Examples:
  $ fieldline fleet --kafka localhost:9092
  $ fieldline fleet -c fieldline.yaml --watch
  $ fieldline fleet -c fieldline.yaml --json --fail-on away,parked,full
  $ fieldline fleet -c fieldline.yaml --forget gateway-7
`

interface FleetFlags {
  config?: string
  kafka?: string
  json?: boolean
  watch?: boolean
  awayAfter?: number
  failOn: FleetState[]
  forget?: string
}

/** `fieldline fleet`: how the agents are that report to a cluster. */
export function fleetCommand(): Command {
  return new Command('fleet')
    .description('list the agents that report to Kafka: how they are, and who is away')
    .option('-c, --config <file>', 'YAML configuration')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--watch', 'go on, on the whole terminal; q ends it')
    .option('--away-after <time>', 'away is who said nothing for so long', parseAwayAfter)
    .option('--fail-on <states>', 'exit with 3 if an agent is in one; with commas', parseStates, [])
    .option('--forget <agent>', 'take an agent that is gone for good out of the list')
    .option('--json', 'print one JSON object')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(flags: FleetFlags): Promise<void> {
  refuseContradictions(flags)
  const { config } = await loadFieldlineConfig({
    ...(flags.config ? { file: flags.config } : {}),
    overrides: flags.kafka ? { kafka: flags.kafka } : {}
  })
  const topic = config.uplink.statusTopic
  if (topic === null) {
    throw new OperationalError(
      'CONFIG_INVALID',
      'uplink.status_topic is null: agents with this configuration tell nobody how they are.'
    )
  }
  await checkBrokersResolve(config.kafka.brokers)
  const logger = createLogger(config.logging.level)
  const kafka = () => kafkaFromConfig(config.kafka, 'fleet', logger)
  const fleet = new FleetReader(kafka, topic)
  try {
    await fleet.read()
    const paint = paintFor(process.env, process.stdout)
    if (flags.forget !== undefined) {
      refuseForgetting(fleet, flags.forget, flags.awayAfter)
      await forgetAgent(kafka(), topic, flags.forget)
      await standardOutput().write(`Forgotten: ${flags.forget}. Should it speak, it is back.\n`)
      return
    }
    if (flags.watch) {
      const { stdin: input, stdout: output } = process
      await watchFleet({ fleet, topic, awayAfterMs: flags.awayAfter, paint, input, output })
      return
    }
    const now = Date.now()
    const agents = fleetOf(fleet.table, now, flags.awayAfter)
    const lines = flags.json
      ? [JSON.stringify(fleetJson(fleet.table, agents, now))]
      : fleetText(fleet.table, agents, topic, paint)
    await standardOutput().write(`${lines.join('\n')}\n`)
    const failing = agents.filter(({ state }) => flags.failOn.includes(state))
    if (failing.length === 0) return
    const named = failing.slice(0, 10).map(({ state, word }) => `${word.agentId} is ${state}`)
    const more = failing.length > named.length ? `, and ${failing.length - named.length} more` : ''
    process.stderr.write(`fieldline: --fail-on: ${named.join(', ')}${more}\n`)
    process.exitCode = EXIT_STATE
  } finally {
    await fleet.close()
  }
}

/** @throws {OperationalError} USAGE */
function refuseContradictions({ json, watch, forget, failOn }: FleetFlags): void {
  const one = [forget !== undefined && '--forget', watch && '--watch'].filter(Boolean)
  const others = [json && '--json', failOn.length > 0 && '--fail-on'].filter(Boolean)
  const both =
    one.length > 1 ? one : one.length === 1 && others.length > 0 ? [one[0], others[0]] : []
  if (both.length > 0) {
    throw new OperationalError('USAGE', `${both.join(' and ')} do not go together.`)
  }
  if (watch) requireTerminal()
}

/** Only who is known, by its whole name, and says nothing any more: else it would be back at once. */
function refuseForgetting({ table }: FleetReader, agentId: string, awayAfterMs?: number): void {
  const agent = fleetOf(table, Date.now(), awayAfterMs).find(({ word }) => word.agentId === agentId)
  if (!agent) {
    const near = nearestName(
      agentId,
      [...table].map(({ word }) => word.agentId)
    )
    const hint = near ? ` Did you mean '${near}'?` : ''
    throw new OperationalError('USAGE', `No agent '${agentId}' has said anything.${hint}`)
  }
  if (agent.presence === 'here') {
    throw new OperationalError(
      'USAGE',
      `Agent '${agentId}' speaks: it would be back within ${formatDuration(agent.word.intervalMs)}. Stop it first.`
    )
  }
}

function parseAwayAfter(text: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new OperationalError('USAGE', `--away-after: ${messageOf(error)}`)
  }
}
