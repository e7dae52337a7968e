import { Command } from 'commander'
import { OperationalError } from '../../core/runtime/errors.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import { loadFieldlineConfig } from '../config.ts'
import { dryRun } from '../dry-run/dry-run.ts'
import { dryRunText } from '../dry-run/dry-run-text.ts'
import { paintFor } from '../terminal/paint.ts'

const TIMEOUT_MS_MIN = 500
const TIMEOUT_MS_MAX = 120_000
/** Closing what was opened, beyond the deadline of the connections. */
const CLOSE_MS_MAX = 3_000

const NOTES = `
Examples:
  $ fieldline dry-run -c fieldline.yaml
  $ fieldline dry-run -c fieldline.yaml --timeout 5s --json

Opens every connection and changes nothing: upstream brokers under a client id of its own, Kafka without
a group or a transactional id, webhooks as far as TLS, listeners for a moment. It may run beside the agent.
What cannot be found out that way is said.

Exit codes: 0 everything would work, 1 something would not, 2 usage, 78 mistakes in the configuration.
`

interface Flags {
  config: string
  json?: boolean
  timeout: string
}

/** `fieldline dry-run`: every connection tried at once, nothing changed. */
export function dryRunCommand(): Command {
  return new Command('dry-run')
    .description('open every connection, and say what would happen')
    .requiredOption('-c, --config <file>', 'YAML configuration')
    .option('--timeout <duration>', 'longest wait, all connections together', '12s')
    .option('--json', 'print one JSON object')
    .addHelpText('after', NOTES)
    .action(run)
}

async function run({ config: file, json, timeout }: Flags): Promise<void> {
  const timeoutMs = timeoutOf(timeout)
  const { config } = await loadFieldlineConfig({ file })
  const report = await dryRun(config, timeoutMs)
  const ok = report.probes.every(({ state }) => state !== 'failed')
  process.exitCode = ok ? 0 : 1
  // A name server that does not answer holds the process longer than anybody waits.
  setTimeout(() => process.exit(), CLOSE_MS_MAX).unref()
  process.stdout.write(
    json
      ? `${JSON.stringify({ ok, ...report })}\n`
      : dryRunText(report, paintFor(process.env, process.stdout))
  )
}

function timeoutOf(text: string): number {
  try {
    const ms = parseDuration(text)
    if (ms >= TIMEOUT_MS_MIN && ms <= TIMEOUT_MS_MAX) return ms
    throw new SyntaxError('expected 500ms to 2m')
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new OperationalError('USAGE', `--timeout: ${error.message}`)
  }
}
