import { Command } from 'commander'
import { heedSignalsEarly } from '../core/runtime/lifecycle.ts'
import { packageVersion } from '../core/runtime/package-root.ts'
import { keepHeapsSmall } from './agent-heap.ts'

interface CommandEntry {
  readonly description: string
  readonly load: () => Promise<Command>
}

type CommandGroup = Readonly<Record<string, CommandEntry>>

/**
 * By heading of the overview. A command's module is loaded only when it is asked for: `--help` shall
 * not wait for Kafka.
 */
const GROUPS: Readonly<Record<string, CommandGroup>> = {
  'Run:': {
    agent: {
      description: 'take readings from MQTT, keep them on disk, deliver them to Kafka',
      load: async () => {
        heedSignalsEarly()
        keepHeapsSmall()
        return (await import('./commands/agent.ts')).agentCommand()
      }
    },
    detector: {
      description: 'find anomalies in the telemetry of the whole fleet, from Kafka',
      load: async () => {
        heedSignalsEarly()
        return (await import('./commands/detector.ts')).detectorCommand()
      }
    },
    kafka: {
      description: 'start, stop and look at a local Kafka',
      load: async () => (await import('./commands/kafka.ts')).kafkaCommand()
    },
    sim: {
      description: 'simulate a fleet of devices over MQTT',
      load: async () => (await import('./commands/sim.ts')).simCommand()
    },
    demo: {
      description: 'the whole of Fieldline in 90 seconds, with the plug pulled on the way',
      load: async () => (await import('./commands/demo.ts')).demoCommand()
    }
  },
  'Look at it:': {
    status: {
      description: 'tell how a running agent or detector is doing, and what to do',
      load: async () => (await import('./commands/status.ts')).statusCommand()
    },
    top: {
      description: 'the same, live, on the whole terminal',
      load: async () => (await import('./commands/top.ts')).topCommand()
    },
    devices: {
      description: 'list the devices that an agent has heard: when, how often, what they said last',
      load: async () => (await import('./commands/devices.ts')).devicesCommand()
    },
    fleet: {
      description: 'list the agents that report to Kafka: how they are, and who is away',
      load: async () => (await import('./commands/fleet.ts')).fleetCommand()
    }
  },
  'Data:': {
    log: {
      description: 'look at the log on disk, check it, repair it, get records out of it',
      load: async () => (await import('./commands/log.ts')).logCommand()
    },
    topics: {
      description: "create Fieldline's Kafka topics",
      load: async () => (await import('./commands/topics.ts')).topicsCommand()
    },
    route: {
      description: 'show where a message would go, by the routes of a configuration',
      load: async () => (await import('./commands/route.ts')).routeCommand()
    },
    dlq: {
      description: 'list dead letters, and send them again once the cause is mended',
      load: async () => (await import('./commands/dlq.ts')).dlqCommand()
    }
  },
  'Detection:': {
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
    }
  },
  'Configuration:': {
    check: {
      description: 'check configuration, certificates, models, disk and logs, all at once',
      load: async () => (await import('./commands/check.ts')).checkCommand()
    },
    'dry-run': {
      description: 'open every connection, and say what would happen',
      load: async () => (await import('./commands/dry-run.ts')).dryRunCommand()
    },
    passwd: {
      description: 'set or delete the password of an MQTT user in a file',
      load: async () => (await import('./commands/passwd.ts')).passwdCommand()
    },
    config: {
      description: 'make, check and describe configurations',
      load: async () => (await import('./commands/config.ts')).configCommand()
    },
    completion: {
      description: 'print a script that completes commands and options in your shell',
      load: async () => (await import('./commands/completion.ts')).completionCommand()
    }
  }
}

const EXAMPLES = `
Examples:
  $ fieldline demo                                    see it work
  $ fieldline kafka start                             a local Kafka on port 9092
  $ fieldline agent --kafka localhost:9092            an agent without a configuration file
  $ fieldline sim --mqtt 127.0.0.1:1883 --devices 100 a fleet to feed it
  $ fieldline status                                  how it is doing, and what to do
  $ fieldline config check -c fieldline.yaml          every mistake at once

Exit codes: 0 fine, 2 usage, 78 configuration, 1 anything else.
`

/**
 * The command line.
 *
 * @param isWanted Which commands are loaded with their options; of the others only name and summary
 *   are there.
 */
export async function createProgram(isWanted: (name: string) => boolean): Promise<Command> {
  const program = new Command('fieldline')
    .description('Telemetry from MQTT, safe on local disk, delivered to Kafka in order.')
    .version(packageVersion())
    .showSuggestionAfterError()
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  for (const [heading, commands] of Object.entries(GROUPS)) {
    for (const [name, { description, load }] of Object.entries(commands)) {
      const command = isWanted(name) ? await load() : new Command(name)
      inherit(command, program)
      // One wording in the overview, whatever the command says of itself.
      program.addCommand(command.summary(description).helpGroup(heading))
    }
  }
  return program
}

/** `addCommand`, unlike `command`, hands nothing down: neither exit codes nor suggestions. */
function inherit(command: Command, parent: Command): void {
  command.copyInheritedSettings(parent)
  for (const child of command.commands) inherit(child, command)
}
