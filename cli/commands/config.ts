import { Command } from 'commander'
import { printConfig } from '../../core/runtime/config-print.ts'
import { loadFieldlineConfig } from '../config.ts'
import { configReference, configSchema } from '../config-reference.ts'

interface FileOption {
  readonly config?: string
}

/** `fieldline config check | show | schema | reference`: nothing is started, nothing is written. */
export function configCommand(): Command {
  const command = new Command('config').description('check and describe configurations')

  command
    .command('check')
    .description('report every mistake of a configuration at once')
    .requiredOption('-c, --config <file>', 'YAML file to check')
    .action(async ({ config }: FileOption) => {
      await loadFieldlineConfig({ file: config })
      process.stdout.write(`${config}: no mistakes\n`)
    })

  command
    .command('show')
    .description('print the configuration in effect, defaults put in and secrets left out')
    .option('-c, --config <file>', 'YAML file; without one, the defaults')
    .action(async ({ config }: FileOption) => {
      const { effective, hash } = await loadFieldlineConfig({ file: config })
      process.stdout.write(`# hash ${hash}\n${printConfig(effective)}`)
    })

  command
    .command('schema')
    .description('print the JSON Schema for editors')
    .action(() => {
      process.stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`)
    })

  command
    .command('reference')
    .description('print every field with type, default and meaning, as Markdown')
    .action(() => {
      process.stdout.write(configReference())
    })

  return command
}
