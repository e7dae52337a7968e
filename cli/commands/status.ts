import { setTimeout as wait } from 'node:timers/promises'
import { Command } from 'commander'
import { standardOutput } from '../log/output.ts'
import { CONDITION_NAMES, type Condition, holding, parseConditions } from '../status/conditions.ts'
import { StatusObserver } from '../status/observe.ts'
import { StatusClient } from '../status/status-client.ts'
import { statusText } from '../status/status-text.ts'
import { DEFAULT_URL, TOKEN_VARIABLE, targetOf } from '../status/target.ts'
import { paintFor } from '../terminal/paint.ts'

/** Between the two looks that rates are taken over. */
const BETWEEN_MS = 1_000
const EXIT_CONDITION = 3

const NOTES = `
Without URL and -c it asks ${DEFAULT_URL}. Where a token is needed: --token-file FILE, the
environment variable ${TOKEN_VARIABLE}, or -c FILE with its http.token. Rates are over one second.

Conditions of --fail-on: ${CONDITION_NAMES.slice(0, 5).join(', ')},
${CONDITION_NAMES.slice(5).join(', ')}.

Exit codes: 0 fine, 1 nothing to be had from the address, 2 usage, 3 a condition of --fail-on holds
(it is named on standard error), 78 configuration.

Examples:
  $ fieldline status
  $ fieldline status -c /etc/fieldline/fieldline.yaml
  $ fieldline status http://gateway-7:8080 --token-file token --json
  $ fieldline status --fail-on parked,full,critical || echo 'a person is needed'
`

interface StatusFlags {
  config?: string
  tokenFile?: string
  json?: boolean
  failOn: Condition[]
}

/** `fieldline status`: how a running agent or detector is doing. */
export function statusCommand(): Command {
  return new Command('status')
    .description('tell how a running agent or detector is doing, and what to do')
    .argument('[url]', `its HTTP address (default: ${DEFAULT_URL})`)
    .option('-c, --config <file>', 'YAML configuration that it runs with: address and token')
    .option('--token-file <file>', 'file that holds the token of its pages')
    .option('--fail-on <conditions>', 'exit with 3 if one holds; with commas', parseConditions, [])
    .option('--json', 'print what its /status says')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run(url: string | undefined, flags: StatusFlags): Promise<void> {
  const target = await targetOf(url, flags)
  const observer = new StatusObserver(new StatusClient(target))
  try {
    let { body, sight } = await observer.look({ alone: flags.json === true })
    if (!flags.json) {
      await wait(BETWEEN_MS)
      ;({ body, sight } = await observer.look())
    }
    const text = flags.json
      ? `${body.trimEnd()}\n`
      : statusText(sight, target.url, paintFor(process.env, process.stdout))
    await standardOutput().write(text)
    const held = holding(flags.failOn, sight)
    if (held.length === 0) return
    process.stderr.write(`fieldline: --fail-on: ${held.join(', ')}\n`)
    process.exitCode = EXIT_CONDITION
  } finally {
    await observer.close()
  }
}
