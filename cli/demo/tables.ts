import { latency, type Paint, padEnd, padStart, seconds, thousands } from '../terminal/text.ts'
import type { FaultRow } from './fault-score.ts'
import type { DemoResult } from './result.ts'

const NAME_COLUMNS = 30
const NUMBER_COLUMNS = 9

/** What the demo found out, for a person. */
export function renderResult(result: DemoResult, paint: Paint): string {
  const lines = ['', ...deliveryLines(result, paint), '', ...faultLines(result, paint), '']
  lines.push(...closingLines(result, paint), '')
  return lines.map(line => (line === '' ? '\n' : `  ${line}\n`)).join('')
}

function deliveryLines(result: DemoResult, paint: Paint): string[] {
  const { verdict, buffer, delivery } = result
  const row = (name: string, count: number, note = ''): string =>
    `${padEnd(name, NAME_COLUMNS)}${padStart(thousands(count), NUMBER_COLUMNS)}${note ? `   ${note}` : ''}`
  const must = (count: number): string => (count === 0 ? paint.green('✓') : paint.red('✗'))
  if (buffer) {
    return [
      paint.bold('Readings, without a Kafka'),
      row('acknowledged to devices', buffer.acknowledged, paint.dim('repeats included')),
      row("in the agent's log", buffer.inLog, paint.dim('by its /status, after the kill')),
      row('lost', buffer.lost, must(buffer.lost))
    ]
  }
  if (!verdict) return []
  const { lost, reordered, lostExamples } = verdict
  const doubled = verdict.resent - verdict.resentMarked
  const resentNote = `${thousands(verdict.resentMarked)} with DUP, ${thousands(doubled)} doubled on purpose`
  return [
    `${paint.bold('Readings')}   ${paint.dim(`delivery: ${delivery}`)}`,
    row('acknowledged to devices', verdict.acknowledged),
    row('found in Kafka', verdict.found),
    row('lost', lost, `${must(lost)}${lost > 0 ? `  ${lostExamples.join(' ')}` : ''}`),
    row('reordered', reordered, must(reordered)),
    row('duplicates (one fl-id twice)', verdict.duplicates),
    row('resent by devices', verdict.resent, verdict.resent > 0 ? paint.dim(resentNote) : ''),
    ...(verdict.unreadable > 0 ? [row('unreadable', verdict.unreadable)] : [])
  ]
}

function faultLines({ faults, alertsToldTwice }: DemoResult, paint: Paint): string[] {
  const head =
    padEnd('kind', 12) +
    padEnd('magnitude', NAME_COLUMNS - 12) +
    padStart('injected', NUMBER_COLUMNS) +
    padStart('detected', NUMBER_COLUMNS + 2) +
    padStart('median delay', NUMBER_COLUMNS + 6)
  const lines = [paint.bold('Faults, and alerts about them'), paint.dim(head)]
  for (const row of faults.rows) lines.push(faultLine(row, paint))
  lines.push(
    `${padEnd('false alerts', NAME_COLUMNS)}${padStart(thousands(faults.falseAlerts), NUMBER_COLUMNS)}   ${paint.dim(`of ${thousands(faults.alerts)} alerts`)}`
  )
  if (faults.cutShort > 0) {
    const text = `${faults.cutShort} more had only just begun when the fleet stopped: not judged`
    lines.push(paint.dim(text))
  }
  if (alertsToldTwice > 0) lines.push(paint.yellow(`alert events told twice: ${alertsToldTwice}`))
  return lines
}

function faultLine(row: FaultRow, paint: Paint): string {
  const start =
    padEnd(row.kind.replace('_', ' '), 12) +
    padEnd(row.magnitude, NAME_COLUMNS - 12) +
    padStart(String(row.injected), NUMBER_COLUMNS)
  if (!row.lookedFor) {
    const found = row.detected > 0 ? `, ${row.detected} noticed` : ''
    return `${start}${paint.dim(`   not looked for${found}`)}`
  }
  const delay = row.medianDelayMs === undefined ? '–' : seconds(row.medianDelayMs)
  return (
    start + padStart(String(row.detected), NUMBER_COLUMNS + 2) + padStart(delay, NUMBER_COLUMNS + 6)
  )
}

function closingLines(result: DemoResult, paint: Paint): string[] {
  const { outage, agentAwayMs, pubackMs, ok, elapsedMs, kafka, seed } = result
  const lines: string[] = []
  if (outage) {
    lines.push(
      `Kafka was dead for ${seconds(outage.stoppedMs)}, then starting: meanwhile ${thousands(outage.acknowledged)} readings`,
      `were acknowledged, up to ${thousands(outage.backlogMax)} waited on disk, and all were delivered`,
      `${seconds(outage.drainMs)} after it came back.`
    )
  }
  const puback = `PUBACKs took ${latency(pubackMs.p50)} (median), ${latency(pubackMs.p99)} (99 %), each after the sync to disk.`
  lines.push(puback, `The killed agent accepted readings again after ${seconds(agentAwayMs)}.`)
  if (kafka === 'away') {
    lines.push(
      paint.yellow('Not shown, for want of a Kafka: delivery, order, duplicates, outage and drain.')
    )
  }
  const verdict = ok
    ? paint.green(
        paint.bold(kafka === 'away' ? 'Nothing was lost.' : 'Nothing was lost or reordered.')
      )
    : paint.red(paint.bold('READINGS WERE LOST OR REORDERED.'))
  lines.push('', `${verdict}  ${paint.dim(`${seconds(elapsedMs)}, seed ${seed}`)}`)
  return lines
}
