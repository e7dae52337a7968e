import { Command } from 'commander'
import { OperationalError } from '../../core/runtime/errors.ts'
import { StatusClient } from '../status/status-client.ts'
import { DEFAULT_URL, type TargetFlags, targetOf } from '../status/target.ts'
import { paintFor } from '../terminal/paint.ts'
import { runTop } from '../top/top.ts'

const NOTES = `
q or Ctrl-C quits. Where to ask, and the token: as with 'fieldline status', which is for scripts.

Examples:
  $ fieldline top
  $ fieldline top -c /etc/fieldline/fieldline.yaml
  $ fieldline top http://gateway-7:8080 --token-file token
`

/** `fieldline top`: how a running agent or detector is doing, live. */
export function topCommand(): Command {
  return new Command('top')
    .description('show how a running agent or detector is doing, live, on the whole terminal')
    .argument('[url]', `its HTTP address (default: ${DEFAULT_URL})`)
    .option('-c, --config <file>', 'YAML configuration that it runs with: address and token')
    .option('--token-file <file>', 'file that holds the token of its pages')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(url: string | undefined, flags: TargetFlags): Promise<void> {
  const { stdin, stdout, env } = process
  if (!stdout.isTTY || env.TERM === 'dumb') {
    const message = 'top needs a terminal to draw on. In a script: fieldline status --json'
    throw new OperationalError('USAGE', message)
  }
  const client = new StatusClient(await targetOf(url, flags))
  await runTop({ client, input: stdin, output: stdout, paint: paintFor(env, stdout) })
}
