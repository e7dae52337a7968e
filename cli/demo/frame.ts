import type { AlertEvent } from '../../core/contract/alert-event.ts'
import {
  clip,
  clock,
  labelled,
  latency,
  MODE_COLOURS,
  type Paint,
  padEnd,
  seconds,
  sparkline,
  thousands,
  widthOf
} from '../terminal/text.ts'
import type { Observation } from './observer.ts'

/** What the script wants to be told beside the numbers. */
export interface Scene {
  /** Place in `chapters`. */
  chapter: number
  /** One sentence about what is being shown now. */
  headline: string
  kafka: 'starting' | 'running' | 'stopped' | 'away'
  agent: 'starting' | 'running' | 'dead' | 'stopped'
  /** The agent counts from its last start. */
  restarted: boolean
}

export interface Picture extends Observation, Scene {
  chapters: readonly string[]
  elapsedMs: number
  totalMs: number
  /** Newest last. */
  lastAlerts: readonly ShownAlert[]
}

export interface ShownAlert {
  atMs: number
  event: AlertEvent
  cleared: boolean
}

/**
 * The live view: nine lines of numbers, then the latest alerts as far as the screen is high.
 *
 * @param size In columns and rows.
 */
export function renderFrame(
  picture: Picture,
  size: { columns: number; rows: number },
  paint: Paint
): string[] {
  const width = Math.max(20, size.columns - 1)
  const lines = [
    '',
    titleLine(picture, width, paint),
    `  ${rail(picture, paint)}`,
    '',
    `  ${paint.bold(picture.headline)}`,
    '',
    labelled('devices', devicesText(picture, paint), paint),
    labelled('on disk', diskText(picture, width, paint), paint),
    labelled('to Kafka', kafkaText(picture, paint), paint),
    labelled('alerts', alertsText(picture, paint), paint)
  ]
  const room = Math.min(5, size.rows - lines.length - 2)
  const alerts = room > 0 ? picture.lastAlerts.slice(-room) : []
  for (const alert of alerts) lines.push(`  ${alertLine(alert, paint)}`)
  return lines.map(line => clip(line, width))
}

/** For pipes and files: the same numbers on one line. */
export function plainLine(p: Picture): string {
  const lanes = Object.entries(p.status?.lanes ?? {}).map(([name, { state }]) => `${name} ${state}`)
  return [
    `[${clock(p.elapsedMs)}] ${modeWord(p)}`,
    `in ${rate(p.acknowledgedPerSecond)}`,
    `out ${rate(p.deliveredPerSecond)}`,
    `waiting on disk ${thousands(p.backlog)}${p.backlog > 0 ? ` (oldest ${seconds(p.backlogAgeMs)})` : ''}`,
    `devices ${p.connected} connected, PUBACK ${latency(p.ackMs.p50)} median ${latency(p.ackMs.p99)} 99 %`,
    `lanes ${p.answering ? lanes.join(', ') : '-'}`,
    `alerts ${p.openAlerts} open, ${p.raisedAlerts} raised`
  ].join(' | ')
}

export function alertLine({ atMs, event, cleared }: ShownAlert, paint: Paint): string {
  const { device, metric, kind, reason } = event.data
  const where = padEnd(`${device} ${metric === '-' ? '' : metric}`.trim(), 20)
  if (cleared) return paint.dim(`${clock(atMs)}  ${where}  ${padEnd(kind, 8)}  over`)
  const word = kind === 'silent' ? paint.cyan(padEnd(kind, 8)) : paint.yellow(padEnd(kind, 8))
  return `${paint.dim(clock(atMs))}  ${where}  ${word}  ${paint.dim(reason)}`
}

/** One word for all of it: the agent's own mode, or that there is no agent. */
export function modeWord({ agent, answering, status, kafka }: Picture): string {
  if (agent === 'dead') return 'agent killed'
  if (agent === 'stopped') return 'agent stopped'
  if (!answering || !status) return agent === 'starting' ? 'agent starting' : 'agent silent'
  return kafka === 'starting' && status.mode === 'streaming' ? 'starting' : status.mode
}

function titleLine(picture: Picture, width: number, paint: Paint): string {
  const name = `  ${paint.bold('Fieldline')}`
  const subtitle = paint.dim('  MQTT → disk → Kafka, with the plug pulled')
  const right = `${paintedMode(picture, paint)}   ${paint.dim(`${clock(picture.elapsedMs)} of ~${clock(picture.totalMs)}`)}`
  const room = width - widthOf(right) - 2
  const left = widthOf(name + subtitle) <= room ? name + subtitle : name
  return `${padEnd(left, room)}  ${right}`
}

function paintedMode(picture: Picture, paint: Paint): string {
  const word = modeWord(picture)
  const colour = COLOURS[word] ?? 'dim'
  return paint[colour](`● ${word}`)
}

const COLOURS: typeof MODE_COLOURS = {
  ...MODE_COLOURS,
  'agent killed': 'red',
  'agent silent': 'red'
}

function rail({ chapters, chapter }: Picture, paint: Paint): string {
  return chapters
    .map((name, index) => {
      if (index < chapter) return paint.dim(`✓ ${name}`)
      return index === chapter ? paint.cyan(`▸ ${name}`) : paint.dim(`  ${name}`)
    })
    .join('  ')
}

function devicesText(p: Picture, paint: Paint): string {
  if (p.agent === 'stopped') return paint.dim('done')
  if (p.agent === 'dead' || p.connected === 0) {
    return p.heldByDevices > 0
      ? `${paint.red('no agent')}  each keeps its unacknowledged readings: ${thousands(p.heldByDevices)}`
      : paint.dim('not connected yet')
  }
  // After a restart the 99 % would tell of nothing but the time without an agent.
  const worst = p.restarted ? '' : ` (99 %: ${latency(p.ackMs.p99)})`
  const puback = p.ackMs.p50 > 0 ? `   PUBACK ${latency(p.ackMs.p50)}${worst}` : ''
  return `${p.connected} connected  ${padEnd(rate(p.acknowledgedPerSecond), 6)} acknowledged${puback}`
}

function diskText(p: Picture, width: number, paint: Paint): string {
  const bars = sparkline(p.backlogHistory, Math.max(10, Math.min(60, width - 54)))
  if (p.agent === 'stopped') return `${padEnd('', 36)}${paint.yellow(bars)}`
  const passing = p.status?.mode === 'streaming' && p.backlogAgeMs < 1_000
  const waiting = passing
    ? `${thousands(p.backlog)} on their way`
    : `${thousands(p.backlog)} waiting, oldest ${seconds(p.backlogAgeMs)}`
  return `${padEnd(waiting, 36)}${paint.yellow(bars)}`
}

function kafkaText(p: Picture, paint: Paint): string {
  const word = {
    starting: paint.yellow('Kafka starts'),
    running: paint.green('Kafka runs'),
    stopped: paint.red('Kafka is stopped'),
    away: paint.red('no Kafka here')
  }[p.kafka]
  const produced = p.status?.lanes.telemetry.counters.produced ?? 0
  const since = p.restarted ? ' since its restart' : ''
  return `${padEnd(word, 16)}  ${padEnd(rate(p.deliveredPerSecond), 8)} delivered   ${thousands(produced)}${since}`
}

function alertsText(p: Picture, paint: Paint): string {
  if (p.raisedAlerts === 0) return paint.dim('none yet')
  return `${p.openAlerts} open, ${p.raisedAlerts} raised`
}

function rate(perSecond: number): string {
  return `${thousands(perSecond)}/s`
}
