import { configTroubles, connectionNotes, refusals } from '../agent-view/notes.ts'
import type { Verdict } from '../agent-view/verdict.ts'
import { bytesText, count, durationText, printable, table } from '../log/text.ts'
import { labelled, MODE_COLOURS, type Paint, thousands } from '../terminal/text.ts'
import type { AgentSight, DetectorSight, Sight } from './sight.ts'
import {
  ageText,
  alertsText,
  clientsText,
  configText,
  deviceName,
  diskText,
  etaText,
  heardAgoText,
  heardText,
  LEVEL_COLOURS,
  laneErrors,
  openForText,
  paintNote,
  paintSeverity,
  pubackText,
  rateText,
  subjectText,
  upText,
  waitingBytesText
} from './words.ts'

const BAR_COLUMNS = 24
const ALERTS_MAX = 10
const DEVICES_MAX = 5
const PARTITIONS_MAX = 20

/** What `fieldline status` prints: a screenful at most for a box that is well. */
export function statusText(sight: Sight, url: string, paint: Paint): string {
  const lines =
    sight.kind === 'agent' ? agentLines(sight, url, paint) : detectorLines(sight, url, paint)
  return `${lines.join('\n')}\n`
}

function agentLines(sight: AgentSight, url: string, paint: Paint): string[] {
  const { status, view } = sight
  const total = `${thousands(view.in.total)} since start`
  const puback = pubackText(sight)
  return [
    ...headLines(status.mode, MODE_COLOURS[status.mode] ?? 'dim', sight.verdict, paint),
    '',
    labelled('agent', `${printable(status.agentId)}, version ${status.version}`, paint),
    labelled('', `${url}, ${upText(sight)}`, paint),
    labelled('config', configText(sight), paint),
    ...configTroubles(sight).map(text => `    ${paint.yellow(text)}`),
    labelled('clients', clientsText(sight), paint),
    ...connectionNotes(status, sight.at).map(noted => `    ${paintNote(noted, paint)}`),
    labelled(
      'in',
      [`${rateText(view.in.perS)}, ${bytesText(sight.inBytesPerS)}/s`, total, puback]
        .filter(part => part !== '')
        .join('; '),
      paint
    ),
    labelled(
      'out',
      `${rateText(view.out.perS)}; ${thousands(view.out.total)} delivered since start`,
      paint
    ),
    labelled('log', diskText(sight, BAR_COLUMNS), paint),
    '',
    ...laneLines(sight, paint),
    ...sinkLines(sight, paint),
    ...countLines('Never to reach Kafka as they came', view.losses, paint),
    ...countLines('Not let in', refusals(status), paint),
    ...alertLines(sight, paint),
    ...deviceLines(sight, paint)
  ]
}

function headLines(word: string, colour: keyof Paint, verdict: Verdict, paint: Paint): string[] {
  const title = paint[LEVEL_COLOURS[verdict.level]](printable(verdict.title))
  const lines = ['', `  ${paint.bold(paint[colour](`● ${word}`))}  ${title}`]
  lines.push(`    ${printable(verdict.text)}`)
  if (verdict.todo) lines.push(`    ${printable(verdict.todo)}`)
  return lines
}

function laneLines(sight: AgentSight, paint: Paint): string[] {
  const lanes = Object.entries(sight.status.lanes)
  const rows = lanes.map(([name, lane]) => [
    name,
    lane.state,
    thousands(lane.backlogRecords),
    waitingBytesText(lane),
    ageText(lane),
    etaText(lane)
  ])
  const right = true
  const columns = [
    { title: 'LANE' },
    { title: 'STATE' },
    { title: 'WAITING', right },
    { title: 'BYTES', right },
    { title: 'OLDEST', right },
    { title: 'GONE IN', right }
  ]
  const [head, ...body] = table(columns, rows)
  const lines = [`  ${paint.dim(head)}`]
  for (const [index, error] of laneErrors(sight).entries()) {
    lines.push(`  ${body[index]}`)
    if (error) lines.push(`    ${paint.red(error)}`)
  }
  return lines
}

function sinkLines({ view }: AgentSight, paint: Paint): string[] {
  return view.sinks
    .filter(({ state }) => state !== 'delivering')
    .map(({ name, waiting, error = 'it does not take alerts' }) => {
      const text = printable(`alerts to ${name}: ${error}`)
      return `    ${paint.red(text)}, ${count(waiting, 'frame')} wait`
    })
}

function countLines(
  title: string,
  counts: readonly { name: string; count: number }[],
  paint: Paint
): string[] {
  if (counts.length === 0) return []
  const words = counts.map(each => `${printable(each.name)} ${thousands(each.count)}`)
  return ['', `  ${paint.yellow(title)}: ${words.join('; ')}`]
}

function alertLines({ alerts, at }: Sight, paint: Paint): string[] {
  const lines = ['', labelled('alerts', alertsText(alerts), paint)]
  const shown = alerts.slice(0, ALERTS_MAX)
  const columns = ['', '', '', '', ''].map(title => ({ title }))
  const rows = shown.map(alert => [
    paintSeverity(alert, alert.severity, paint),
    subjectText(alert),
    alert.kind.replace('_', ' '),
    openForText(alert, at),
    printable(alert.reason)
  ])
  for (const line of table(columns, rows).slice(1)) lines.push(`    ${line}`)
  if (alerts.length > shown.length) lines.push(`    … and ${alerts.length - shown.length} more`)
  return lines
}

function deviceLines({ devices, at }: AgentSight, paint: Paint): string[] {
  if (!devices) return []
  const lines = [labelled('devices', heardText(devices), paint)]
  const silent = devices.quietest.filter(quiet => quiet.silent)
  // Where all are well, one is enough to see that.
  const shown = silent.length > 0 ? silent.slice(0, DEVICES_MAX) : devices.quietest.slice(0, 1)
  for (const quiet of shown) {
    const word = quiet.silent ? paint.yellow('silent') : 'heard '
    lines.push(`    ${word}  ${deviceName(quiet)}  ${heardAgoText(quiet, at)}`)
  }
  return lines
}

function detectorLines(sight: DetectorSight, url: string, paint: Paint): string[] {
  const { status, verdict, readPerS, lag } = sight
  const { counters, partitions, state } = status
  const poison = Object.entries(counters.poison).map(([name, n]) => ({ name, count: n }))
  const series = `${thousands(counters.series)} series, ${thousands(counters.seriesLearning)} of them still learning`
  return [
    ...headLines(state, LEVEL_COLOURS[verdict.level], verdict, paint),
    '',
    labelled('detector', url, paint),
    ...configTroubles(sight).map(text => `    ${paint.yellow(text)}`),
    labelled('in', `${rateText(readPerS)}; ${thousands(counters.records)} records`, paint),
    labelled(
      'behind',
      `${count(lag, 'record')} on ${count(partitions.length, 'partition')}`,
      paint
    ),
    labelled('knows', series, paint),
    ...partitionLines(sight, paint),
    ...countLines(
      'Dead letters',
      poison.filter(({ count }) => count > 0),
      paint
    ),
    ...alertLines(sight, paint)
  ]
}

function partitionLines({ status, at }: DetectorSight, paint: Paint): string[] {
  if (status.partitions.length === 0) return []
  const right = true
  const columns = [
    { title: 'PARTITION' },
    { title: 'STATE' },
    { title: 'BEHIND', right },
    { title: 'UNTIL', right },
    { title: 'ALERTS', right }
  ]
  // Those that need a look first.
  const shown = [...status.partitions].sort((a, b) => b.lag - a.lag).slice(0, PARTITIONS_MAX)
  const rows = shown.map(({ topic, partition, state, lag, watermark, openAlerts }) => [
    printable(`${topic}/${partition}`),
    state,
    thousands(lag),
    watermark === null ? '-' : `${durationText(at - watermark)} ago`,
    thousands(openAlerts)
  ])
  const [head, ...body] = table(columns, rows)
  return ['', `  ${paint.dim(head)}`, ...body.map(line => `  ${line}`)]
}
