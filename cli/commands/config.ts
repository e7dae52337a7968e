import { closeSync, openSync, writeSync } from 'node:fs'
import { Command, Option } from 'commander'
import { ConfigError } from '../../core/runtime/config-findings.ts'
import { printConfig } from '../../core/runtime/config-print.ts'
import { messageOf, OperationalError, systemCode } from '../../core/runtime/errors.ts'
import { loadFieldlineConfig } from '../config.ts'
import { checkInitText, type InitAnswers, initText, nextSteps } from '../config-init.ts'
import { askThreeQuestions } from '../config-init-questions.ts'
import { configFields, configReference, configSchema } from '../config-reference.ts'

interface FileOption {
  readonly config?: string
  readonly json?: boolean
}

const EXAMPLES = `
Examples:
  $ fieldline config init
  $ fieldline config check -c fieldline.yaml
  $ fieldline config show -c fieldline.yaml --json
`

/** `fieldline config init | check | show | schema | reference`: only `init` writes, one new file. */
export function configCommand(): Command {
  const command = new Command('config')
    .description('make, check and describe configurations')
    .addHelpText('after', EXAMPLES)
  addInit(command)

  command
    .command('check')
    .description('report every mistake of a configuration at once')
    .requiredOption('-c, --config <file>', 'YAML file to check')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
The file alone. With its machine, certificates and logs: fieldline check

Examples:
  $ fieldline config check -c fieldline.yaml
`
    )
    .action(checkFile)

  command
    .command('show')
    .description('print the configuration in effect, defaults put in and secrets left out')
    .option('-c, --config <file>', 'YAML file; without one, the defaults')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  $ fieldline config show -c fieldline.yaml\n')
    .action(async ({ config, json }: FileOption) => {
      const { effective, hash } = await loadFieldlineConfig({ file: config })
      const text = json
        ? `${JSON.stringify({ hash, config: effective })}\n`
        : `# hash ${hash}\n${printConfig(effective)}`
      process.stdout.write(text)
    })

  command
    .command('schema')
    .description('print the JSON Schema for editors')
    .addHelpText('after', '\nExamples:\n  $ fieldline config schema > fieldline.schema.json\n')
    .action(() => {
      process.stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`)
    })

  command
    .command('reference')
    .description('print every field with type, default and meaning, as Markdown')
    .option('--json', 'print a JSON list of fields')
    .addHelpText('after', '\nExamples:\n  $ fieldline config reference > configuration.md\n')
    .action(({ json }: FileOption) => {
      process.stdout.write(json ? `${JSON.stringify(configFields())}\n` : configReference())
    })

  return command
}

async function checkFile({ config, json }: FileOption): Promise<void> {
  try {
    await loadFieldlineConfig({ file: config })
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error
    process.stdout.write(`${JSON.stringify({ ok: false, mistakes: error.findings })}\n`)
    process.exitCode = error.exitCode
    return
  }
  process.stdout.write(
    json ? `${JSON.stringify({ ok: true, mistakes: [] })}\n` : `${config}: no mistakes\n`
  )
}

const INIT_NOTES = `
Without flags and on a terminal it asks three questions. A file that is there is left alone.

Examples:
  $ fieldline config init
  $ fieldline config init --kafka kafka-1:9092,kafka-2:9092 --id gateway-7 --data /var/lib/fieldline
  $ fieldline config init edge.yaml --listen 0.0.0.0:1883 --users-file mqtt-users --match 'plants/{site}/{device}'
`

function addInit(command: Command): void {
  command
    .command('init')
    .description('write a first configuration, with comments')
    .argument('[file]', 'YAML file to write', 'fieldline.yaml')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--id <name>', "the agent's name")
    .option('--data <dir>', 'directory of the logs')
    .option('--listen <host:port>', "MQTT listener, or 'off'")
    .option('--users-file <file>', 'users that may connect, written by fieldline passwd')
    .addOption(
      new Option('--anonymous <who>', 'who may connect without a user').choices([
        'loopback',
        'always',
        'never'
      ])
    )
    .option('--match <topic>', "devices' topics, like 'plants/{site}/{device}/{metric}'")
    .option('--site <name>', 'site of devices whose topics do not name it')
    .addOption(
      new Option('--delivery <mode>', 'how records reach Kafka').choices([
        'at_least_once',
        'exactly_once'
      ])
    )
    .option('--tls', 'encrypted connections to Kafka')
    .option('--ca <file>', "authority that signed the brokers' certificates")
    .option('--user <name>', 'user in Kafka, by SCRAM-SHA-512')
    .option('--password-file <file>', "file with the user's password")
    .option('--force', 'write over a file that is there')
    .addHelpText('after', INIT_NOTES)
    .action(init)
}

async function init(file: string, flags: InitAnswers & { force?: boolean }): Promise<void> {
  const { force = false, ...given } = flags
  // Before anybody is asked in vain.
  if (!force) refuseToOverwrite(file)
  const asks = Object.keys(given).length === 0 && process.stdin.isTTY && process.stderr.isTTY
  const answers = asks ? await askThreeQuestions(process.stdin, process.stderr) : given
  const text = initText(answers)
  checkInitText(text)
  write(file, text, force)
  const steps = nextSteps(file, answers).map(step => `  ${step}`)
  process.stdout.write(`Wrote ${file}. Next:\n${steps.join('\n')}\n`)
}

function refuseToOverwrite(file: string): void {
  try {
    closeSync(openSync(file, 'r'))
  } catch {
    // Not there; or the writing says what is wrong.
    return
  }
  throw alreadyThere(file)
}

function write(file: string, text: string, force: boolean): void {
  try {
    const fd = openSync(file, force ? 'w' : 'wx', 0o640)
    writeSync(fd, text)
    closeSync(fd)
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw alreadyThere(file)
    throw new OperationalError('USAGE', `${file} cannot be written: ${messageOf(error)}.`, {
      cause: error
    })
  }
}

function alreadyThere(file: string): OperationalError {
  return new OperationalError(
    'USAGE',
    `${file} is there already and was left alone. Name another file, or use --force.`
  )
}
