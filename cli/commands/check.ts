import { Command } from 'commander'
import { check } from '../check/check.ts'
import { findingsText } from '../check/finding-text.ts'
import { paintFor } from '../terminal/paint.ts'

const NOTES = `
Examples:
  $ fieldline check -c fieldline.yaml
  $ sudo -u fieldline fieldline check -c /etc/fieldline/fieldline.yaml
  $ fieldline check -c fieldline.yaml --json --strict

Looks at the configuration, secrets, certificates, models, the data directory, both logs, listeners and
the machine; opens no connection (that is 'fieldline dry-run') and changes nothing. An agent may run
meanwhile. Run it as the user that the agent runs as: permissions are those of who asks.

Exit codes: 0 nothing stands in the way, 1 errors (with --strict warnings too), 2 usage,
78 mistakes in the configuration.
`

interface Flags {
  config: string
  json?: boolean
  strict?: boolean
  quick?: boolean
}

/** `fieldline check`: everything that can be told without a connection, all findings at once. */
export function checkCommand(): Command {
  return new Command('check')
    .description(
      'check configuration, models, certificates, disk, permissions and logs, all at once'
    )
    .requiredOption('-c, --config <file>', 'YAML configuration')
    .option('--quick', "do not read the logs' records")
    .option('--strict', 'warnings are errors')
    .option('--json', 'print one JSON object')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run({ config: file, json, strict = false, quick = false }: Flags): Promise<void> {
  const findings = await check({ file, quick })
  const exitCode = findings.exitCode(strict)
  const text = json
    ? `${JSON.stringify({
        ok: exitCode === 0,
        errors: findings.count('error'),
        warnings: findings.count('warning'),
        findings: findings.list
      })}\n`
    : findingsText(findings, paintFor(process.env, process.stdout))
  process.stdout.write(text)
  process.exitCode = exitCode
}
