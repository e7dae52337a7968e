import { configTroubles, connectionNotes, refusals } from '../agent-view/notes.ts'
import { bytesText, count, durationText, printable, table } from '../log/text.ts'
import type { AgentSight, DetectorSight, Sight } from '../status/sight.ts'
import {
  ageText,
  alertsText,
  clientsText,
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
  waitingBytesText
} from '../status/words.ts'
import {
  barOf,
  clip,
  labelled,
  MODE_COLOURS,
  type Paint,
  padEnd,
  padStart,
  sparkline,
  thousands,
  widthOf
} from '../terminal/text.ts'
import type { TopHistory } from './history.ts'

export interface TopPicture {
  sight: Sight
  history: TopHistory
  url: string
  /** Epoch ms. */
  now: number
  /** Why there is no answer, and since when; the sight is then the last one. */
  away?: { message: string; sinceAt: number }
}

export interface Size {
  columns: number
  rows: number
}

/** A lower screen has no room for empty lines. */
const AIRY_ROWS_MIN = 24
/** Without these a list says too little. */
const LIST_ROWS_MIN = 2
const DEVICES_ROWS_MAX = 10
const LANE_BAR_COLUMNS = 12

/** The picture of `fieldline top`: as many lines as there are rows, none wider than the screen. */
export function renderTop(picture: TopPicture, size: Size, paint: Paint): string[] {
  const { sight } = picture
  const width = Math.max(20, size.columns - 1)
  const above = [
    titleLine(picture, width, paint),
    ...verdictLines(picture, width, paint),
    '',
    ...(sight.kind === 'agent'
      ? agentLines(sight, picture, width, paint)
      : detectorLines(sight, picture, width, paint))
  ].filter(line => line !== '' || size.rows >= AIRY_ROWS_MIN)
  const room = Math.max(0, size.rows - 1 - above.length)
  const lines = [...above, ...lists(sight, room, paint)].slice(0, size.rows - 1)
  while (lines.length < size.rows - 1) lines.push('')
  lines.push(footLine(picture, width, paint))
  return lines.map(line => clip(line, width))
}

function titleLine({ sight, now, away }: TopPicture, width: number, paint: Paint): string {
  const isAgent = sight.kind === 'agent'
  const name = isAgent ? printable(sight.status.agentId) : 'central detector'
  const left = `  ${paint.bold('Fieldline')}  ${name}`
  const word = isAgent ? sight.status.mode : sight.status.state
  const colour = isAgent ? MODE_COLOURS[word] : LEVEL_COLOURS[sight.verdict.level]
  const state = away
    ? paint.red(`● no answer for ${durationText(now - away.sinceAt)}`)
    : paint[colour ?? 'dim'](`● ${word}`)
  const up = isAgent && !away ? paint.dim(`   up ${durationText(sight.status.uptimeMs)}`) : ''
  const right = `${state}${up}`
  return `${padEnd(left, width - widthOf(right) - 1)} ${right}`
}

function verdictLines({ sight, away }: TopPicture, width: number, paint: Paint): string[] {
  if (away) return [`  ${paint.red(away.message)}`]
  const { title, text, todo, level } = sight.verdict
  const painted = paint[LEVEL_COLOURS[level]](printable(title))
  const told = `  ${painted}  ${printable(text)}`
  const lines =
    widthOf(told) <= width ? [told] : [`  ${painted}`, ...wrapped(printable(text), width)]
  // What keeps a lane is told beside it.
  const isToldBelow = sight.kind === 'agent' && sight.status.mode === 'buffering'
  return todo && !isToldBelow ? [...lines, ...wrapped(printable(todo), width)] : lines
}

/** Two lines at most: what is longer is for `fieldline status`. */
function wrapped(text: string, width: number): string[] {
  const room = width - 2
  if (text.length <= room) return [`  ${text}`]
  const at = text.lastIndexOf(' ', room)
  const cut = at > 0 ? at : room
  return [`  ${text.slice(0, cut)}`, `  ${text.slice(cut).trim()}`]
}

function agentLines(
  sight: AgentSight,
  { history }: TopPicture,
  width: number,
  paint: Paint
): string[] {
  const { view } = sight
  const curve = (values: readonly number[], text: string, colour: keyof Paint): string => {
    const bars = sparkline(values, Math.max(8, Math.min(80, width - 46)), 1)
    return `${padEnd(text, 33)} ${paint[colour](bars)}`
  }
  const rate = (perS: number, rest: string): string => `${padEnd(rateText(perS), 10)}${rest}`
  const into = rate(view.in.perS, `${bytesText(sight.inBytesPerS)}/s`)
  const out = rate(view.out.perS, `${thousands(view.out.total)} in all`)
  const waiting = `${count(view.disk.records, 'reading')}`
  const puback = pubackText(sight).replace(/^PUBACK /, '')
  return [
    labelled('in', curve(history.in, into, 'green'), paint),
    labelled('out', curve(history.out, out, 'cyan'), paint),
    labelled('waiting', curve(history.waiting, waiting, 'yellow'), paint),
    labelled('log', diskText(sight, Math.max(8, Math.min(24, width - 64))), paint),
    ...(puback === '' ? [] : [labelled('PUBACK', puback, paint)]),
    labelled('clients', clientsText(sight), paint),
    ...connectionNotes(sight.status, sight.at).map(noted =>
      labelled('', paintNote(noted, paint), paint)
    ),
    ...configTroubles(sight).map(text => labelled('config', paint.yellow(text), paint)),
    ...troubleLines(sight, paint),
    '',
    ...laneLines(sight, history, width, paint)
  ]
}

/** What is lost or not let in, on one line; none when nothing is. */
function troubleLines({ view, status }: AgentSight, paint: Paint): string[] {
  const told = [...view.losses, ...refusals(status)].map(
    ({ name, count }) => `${printable(name)} ${thousands(count)}`
  )
  return told.length === 0 ? [] : [labelled('lost', paint.yellow(told.join('; ')), paint)]
}

function laneLines(
  sight: AgentSight,
  { peaks }: TopHistory,
  width: number,
  paint: Paint
): string[] {
  const lanes = Object.entries(sight.status.lanes)
  const right = true
  const wide = width >= 76
  const columns = [
    { title: 'LANE' },
    { title: 'STATE' },
    { title: 'WAITING', right },
    ...(wide ? [{ title: 'BYTES', right }, { title: 'DRAINED' }] : []),
    { title: 'OLDEST', right },
    { title: 'GONE IN', right }
  ]
  const rows = lanes.map(([name, lane]) => {
    const peak = peaks.get(name) ?? 0
    const done = 1 - lane.backlogRecords / Math.max(1, peak)
    const percent = `${padStart(String(Math.floor(done * 100)), 3)} %`
    const bar = peak === 0 ? '-' : `${barOf(done, LANE_BAR_COLUMNS)} ${percent}`
    return [
      name,
      lane.state,
      thousands(lane.backlogRecords),
      ...(wide ? [waitingBytesText(lane), bar] : []),
      ageText(lane),
      etaText(lane)
    ]
  })
  const [head, ...body] = table(columns, rows)
  const lines = [`  ${paint.dim(head)}`]
  for (const [index, error] of laneErrors(sight).entries()) {
    lines.push(`  ${body[index]}`)
    if (error) lines.push(`    ${paint.red(error)}`)
  }
  return lines
}

/** Alerts and devices, in the rows that are left: an empty list gives its room to the other. */
function lists(sight: Sight, room: number, paint: Paint): string[] {
  const alerts = alertRows(sight, paint)
  const devices = sight.kind === 'agent' ? deviceRows(sight, paint) : []
  const hasDevices = devices.length > 0 && room >= 2 + 2 * LIST_ROWS_MIN
  const half = Math.max(LIST_ROWS_MIN, Math.floor((room - 2) / 2))
  const forDevices = hasDevices
    ? Math.min(devices.length, DEVICES_ROWS_MAX + 1, Math.max(half, room - 2 - alerts.length))
    : 0
  const forAlerts = Math.max(0, room - 1 - (hasDevices ? forDevices + 1 : 0))
  const lines = ['', ...alerts.slice(0, forAlerts)]
  if (hasDevices) lines.push('', ...devices.slice(0, forDevices))
  return lines.slice(0, room)
}

function alertRows({ alerts, at }: Sight, paint: Paint): string[] {
  const rows = alerts.slice(0, 100).map(alert => [
    // The word, not the colour alone.
    paintSeverity(alert, alert.severity, paint),
    subjectText(alert),
    alert.kind.replace('_', ' '),
    openForText(alert, at),
    paint.dim(printable(alert.reason))
  ])
  const columns = ['', '', '', '', ''].map(title => ({ title }))
  const lines = [labelled('alerts', alertsText(alerts), paint)]
  return [
    ...lines,
    ...table(columns, rows)
      .slice(1)
      .map(line => `    ${line}`)
  ]
}

function deviceRows({ devices, at }: AgentSight, paint: Paint): string[] {
  if (!devices) return []
  const rows = devices.quietest.map(quiet => [
    quiet.silent ? paint.yellow('silent') : paint.dim('heard'),
    deviceName(quiet),
    heardAgoText(quiet, at)
  ])
  const columns = ['', '', ''].map(title => ({ title }))
  const lines = [
    labelled(
      'devices',
      `${heardText(devices)}${devices.quietest.length > 0 ? '; the quietest:' : ''}`,
      paint
    )
  ]
  return [
    ...lines,
    ...table(columns, rows)
      .slice(1)
      .map(line => `    ${line}`)
  ]
}

function detectorLines(
  { status, readPerS, lag }: DetectorSight,
  { history }: TopPicture,
  width: number,
  paint: Paint
): string[] {
  const columns = Math.max(8, Math.min(80, width - 46))
  const behind = `${count(lag, 'record')} on ${count(status.partitions.length, 'partition')}`
  const { series, seriesLearning } = status.counters
  const line = (text: string, values: readonly number[], colour: keyof Paint): string =>
    `${padEnd(text, 33)} ${paint[colour](sparkline(values, columns, 1))}`
  const knows = `${thousands(series)} series, ${thousands(seriesLearning)} of them still learning`
  return [
    labelled('in', line(rateText(readPerS), history.in, 'green'), paint),
    labelled('behind', line(behind, history.waiting, 'yellow'), paint),
    labelled('knows', knows, paint)
  ]
}

function footLine({ sight, url, history, now }: TopPicture, width: number, paint: Paint): string {
  const keys = 'q quits'
  const { lastError } = history
  const isOver = lastError !== undefined && lastError.at < sight.at
  const left = isOver
    ? `last error ${durationText(now - lastError.at)} ago: ${lastError.text}`
    : url
  const room = width - widthOf(keys) - 4
  return paint.dim(`  ${padEnd(clip(left, room), room)}  ${keys}`)
}
