import type { Paint } from '../terminal/text.ts'
import { padEnd, padStart } from '../terminal/text.ts'
import type { DryRun } from './dry-run.ts'
import type { Probe, ProbeState } from './probe.ts'

const SIGNS: Readonly<Record<ProbeState, string>> = {
  ok: '✓',
  warning: '!',
  failed: '✗',
  unknown: '?'
}
const NAME_CHARS_MAX = 48

export function dryRunText({ probes, wouldHappen, notTried }: DryRun, paint: Paint): string {
  const width = Math.min(NAME_CHARS_MAX, Math.max(...probes.map(({ name }) => [...name].length)))
  const lines = probes.flatMap(probe => linesOf(probe, width, paint))
  lines.push('', paint.bold('would happen'), ...wouldHappen.map(text => `  ${text}`))
  if (notTried.length > 0) {
    lines.push('', paint.bold('not tried'), ...notTried.map(text => `  ${text}`))
  }
  lines.push('', verdict(probes, paint))
  return `${lines.join('\n')}\n`
}

function linesOf({ part, name, state, ms, facts, problems }: Probe, width: number, paint: Paint) {
  const colour = { ok: paint.green, warning: paint.yellow, failed: paint.red, unknown: paint.dim }[
    state
  ]
  const head = `${colour(SIGNS[state])} ${padEnd(part, 8)} ${padEnd(name, width)} ${padStart(`${ms} ms`, 8)}`
  return [
    `${head}${facts.length > 0 ? `  ${facts.join(', ')}` : ''}`,
    ...problems.map(problem => `           ${colour('→')} ${problem}`)
  ]
}

function verdict(probes: readonly Probe[], paint: Paint): string {
  const failed = probes.filter(({ state }) => state === 'failed').length
  if (failed === 0) return paint.green('Everything that was tried would work.')
  return paint.red(`${failed} of ${probes.length} would not work; nothing was changed.`)
}
