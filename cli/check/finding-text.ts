import { count } from '../log/text.ts'
import type { Paint } from '../terminal/text.ts'
import { type Finding, type Findings, GROUPS, type Severity } from './finding.ts'

/** What matters is told by sign and word, so that no colour is needed. */
const SIGNS: Readonly<Record<Severity, string>> = { error: '✗', warning: '!', note: '·', ok: '✓' }
const WORDS: Readonly<Record<Severity, string>> = {
  error: 'error: ',
  warning: 'warning: ',
  note: 'note: ',
  ok: ''
}

export function findingsText(findings: Findings, paint: Paint): string {
  const lines: string[] = []
  for (const group of GROUPS) {
    const found = findings.list.filter(finding => finding.group === group)
    if (found.length === 0) continue
    lines.push(paint.bold(group), ...found.flatMap(finding => linesOf(finding, paint)), '')
  }
  lines.push(verdict(findings, paint))
  return `${lines.join('\n')}\n`
}

function linesOf({ severity, what, where, why, todo }: Finding, paint: Paint): string[] {
  const colour = colourOf(severity, paint)
  const below = [why, todo === undefined ? undefined : `→ ${todo}`]
  return [
    `  ${colour(`${SIGNS[severity]} ${WORDS[severity]}`)}${what}`,
    ...(where === undefined ? [] : [`      ${paint.dim(where)}`]),
    ...below.flatMap(text => (text === undefined ? [] : [`      ${text}`]))
  ]
}

function colourOf(severity: Severity, paint: Paint): (text: string) => string {
  if (severity === 'error') return paint.red
  if (severity === 'warning') return paint.yellow
  return severity === 'ok' ? paint.green : paint.dim
}

function verdict(findings: Findings, paint: Paint): string {
  const [errors, warnings] = [findings.count('error'), findings.count('warning')]
  if (errors === 0 && warnings === 0) return paint.green('Nothing stands in the way.')
  const parts = [count(errors, 'error'), count(warnings, 'warning')]
  return (errors > 0 ? paint.red : paint.yellow)(`${parts.join(', ')}.`)
}
