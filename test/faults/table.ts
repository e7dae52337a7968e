import { OUTAGE_KINDS } from './outage.ts'
import type { OutageCase, OutageResult } from './outage-case.ts'

export interface TableRow {
  spec: OutageCase
  /** Absent when the case did not come to its end; then `error` says why. */
  result?: OutageResult
  error?: string
}

const COLUMNS = [
  ['outage', 12],
  ['mode', 15],
  ['killed', 9],
  ['away s', 8],
  ['acknowledged', 14],
  ['lost', 6],
  ['reordered', 11],
  ['duplicates', 12],
  ['resent', 8],
  ['recovery s', 12]
] as const

export function headLine(): string {
  return line(COLUMNS.map(([name]) => name))
}

export function resultLine({ spec, result }: TableRow): string {
  const { kind, mode, killed } = spec
  if (!result) return line([kind, mode, killed, '', 'failed'])
  const { verdict, recoveryMs, awayMs, violations } = result
  const { acknowledged, lost, reordered, duplicates, resent } = verdict
  const counts = [acknowledged, lost, reordered, duplicates, resent].map(String)
  const cells = [kind, mode, killed, inSeconds(awayMs), ...counts, inSeconds(recoveryMs)]
  return `${line(cells)}${violations.length > 0 ? '  ✗' : ''}`
}

/** `48 cases: lost 0, reordered 0, duplicates in exactly_once 0; slowest recovery refused 1.2 s, …` */
export function summaryLine(rows: readonly TableRow[], tookMs: number): string {
  const results = rows.flatMap(({ result }) => result ?? [])
  const sum = (count: (result: OutageResult) => number): number =>
    results.reduce((total, result) => total + count(result), 0)
  const inMode = (wanted: string): number =>
    rows.reduce(
      (total, { spec, result }) =>
        total + (spec.mode === wanted ? (result?.verdict.duplicates ?? 0) : 0),
      0
    )
  const slowest = OUTAGE_KINDS.flatMap(kind => {
    const times = rows.flatMap(({ spec, result }) =>
      spec.kind === kind && result ? result.recoveryMs : []
    )
    return times.length > 0 ? `${kind} ${withUnit(Math.max(...times))}` : []
  })
  const failed = rows.length - results.length
  const wrong = rows.filter(({ result }) => !result || result.violations.length > 0).length
  return [
    `${rows.length} cases: lost ${sum(({ verdict }) => verdict.lost)},`,
    `reordered ${sum(({ verdict }) => verdict.reordered)},`,
    `duplicates in exactly_once ${inMode('exactly_once')}`,
    `(at_least_once: ${inMode('at_least_once')});`,
    `slowest recovery ${slowest.join(', ')};`,
    ...(failed > 0 ? [`${failed} did not come to their end,`] : []),
    `${wrong} violated; ${(tookMs / 60_000).toFixed(1)} min`
  ].join(' ')
}

function inSeconds(ms: number): string {
  return Number.isFinite(ms) ? (ms / 1000).toFixed(1) : 'never'
}

function withUnit(ms: number): string {
  return Number.isFinite(ms) ? `${inSeconds(ms)} s` : inSeconds(ms)
}

/** The first three to the left, numbers to the right. */
function line(cells: readonly string[]): string {
  return cells
    .map((cell, n) => (n < 3 ? cell.padEnd(COLUMNS[n][1]) : cell.padStart(COLUMNS[n][1])))
    .join('')
    .trimEnd()
}
