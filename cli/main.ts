#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { OperationalError } from '../core/runtime/errors.ts'
import { packageVersion } from '../core/runtime/package-root.ts'

interface CommandEntry {
  readonly description: string
  readonly load: () => Promise<Command>
}

/** A command's module is loaded only when it is asked for: `--help` shall not wait for Kafka. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  agent: {
    description: 'take readings from MQTT, keep them on disk, deliver them to Kafka',
    load: async () => (await import('./commands/agent.ts')).agentCommand()
  },
  detector: {
    description: 'find anomalies in the telemetry of the whole fleet, from Kafka',
    load: async () => (await import('./commands/detector.ts')).detectorCommand()
  },
  sim: {
    description: 'simulate a fleet of devices over MQTT',
    load: async () => (await import('./commands/sim.ts')).simCommand()
  },
  kafka: {
    description: 'start, stop and look at a local Kafka',
    load: async () => (await import('./commands/kafka.ts')).kafkaCommand()
  },
  topics: {
    description: "create Fieldline's Kafka topics",
    load: async () => (await import('./commands/topics.ts')).topicsCommand()
  },
  log: {
    description: 'look at the log on disk, check it, repair it, get records out of it',
    load: async () => (await import('./commands/log.ts')).logCommand()
  },
  route: {
    description: 'show where a message would go, by the routes of a configuration',
    load: async () => (await import('./commands/route.ts')).routeCommand()
  },
  dlq: {
    description: 'list dead letters, and send them again once the cause is mended',
    load: async () => (await import('./commands/dlq.ts')).dlqCommand()
  },
  replay: {
    description: 'show which alerts your own history would have brought',
    load: async () => (await import('./commands/replay.ts')).replayCommand()
  },
  train: {
    description: 'make an ONNX model for one kind of device from its recorded history',
    load: async () => (await import('./commands/train.ts')).trainCommand()
  },
  evaluate: {
    description: 'judge the detector on labelled data',
    load: async () => (await import('./commands/evaluate.ts')).evaluateCommand()
  },
  config: {
    description: 'check and describe configurations',
    load: async () => (await import('./commands/config.ts')).configCommand()
  },
  demo: {
    description: 'the whole of Fieldline in 90 seconds, with the plug pulled on the way',
    load: async () => (await import('./commands/demo.ts')).demoCommand()
  }
}

const EXAMPLES = `
Examples:
  $ fieldline demo                                    see it work
  $ fieldline kafka start                             a local Kafka on port 9092
  $ fieldline agent --kafka localhost:9092            an agent without a configuration file
  $ fieldline sim --mqtt 127.0.0.1:1883 --devices 100 a fleet to feed it
  $ fieldline config check -c fieldline.yaml          every mistake at once

Exit codes: 0 fine, 2 usage, 78 configuration, 1 anything else.
`

async function main(args: readonly string[]): Promise<void> {
  const program = new Command('fieldline')
    .description('Telemetry from MQTT, safe on local disk, delivered to Kafka in order.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  const named = args.find(arg => !arg.startsWith('-') && arg !== 'help')
  for (const [name, { description, load }] of Object.entries(COMMANDS)) {
    const command = name === named ? await load() : new Command(name)
    inherit(command, program)
    // One wording in the overview, whatever the command says of itself.
    program.addCommand(command.summary(description))
  }
  await program.parseAsync(args, { from: 'user' })
}

/** `addCommand`, unlike `command`, hands nothing down: neither exit codes nor suggestions. */
function inherit(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent)
  for (const child of command.commands) inherit(child, command)
}

/** One clear line for what operation brings about; a stack for what should not exist. */
function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Commander has already told; help and version are no failures.
    process.exit(error.exitCode === 0 ? 0 : 2)
  }
  const operational = error instanceof OperationalError
  const text = operational
    ? `fieldline: ${error.message}\n`
    : `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
  process.stderr.write(text, () => process.exit(operational ? error.exitCode : 1))
}

/** A reader that went away (`| head`) is no failure. */
function quietEpipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (stream === process.stdout) process.exit()
  })
}

quietEpipe(process.stdout)
quietEpipe(process.stderr)
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)
await main(process.argv.slice(2)).catch(fail)
