import type { AlertData } from '../../core/contract/alert-event.ts'
import type { Note } from '../agent-view/notes.ts'
import type { Verdict } from '../agent-view/verdict.ts'
import { bytesText, count, durationText, printable, timeText } from '../log/text.ts'
import { barOf, latency, type Paint, thousands } from '../terminal/text.ts'
import type { AgentAnswer } from './answer.ts'
import type { HeardDevices } from './device-feed.ts'
import type { AgentSight } from './sight.ts'

/** The words that `status` and `top` share. What devices chose is made harmless here. */

export const LEVEL_COLOURS: Readonly<Record<Verdict['level'], keyof Paint>> = {
  ok: 'green',
  info: 'cyan',
  warning: 'yellow',
  critical: 'red'
}

export function paintNote({ level, text }: Note, paint: Paint): string {
  return paint[LEVEL_COLOURS[level]](printable(text))
}

const SEVERITY_COLOURS: Readonly<Record<AlertData['severity'], keyof Paint>> = {
  info: 'cyan',
  warning: 'yellow',
  critical: 'red'
}

export function paintSeverity({ severity }: AlertData, text: string, paint: Paint): string {
  return paint[SEVERITY_COLOURS[severity] ?? 'dim'](text)
}

/** `1,234/s`, `0.4/s` */
export function rateText(perS: number): string {
  return `${perS > 0 && perS < 9.95 ? perS.toFixed(1) : thousands(perS)}/s`
}

/** `PUBACK waits 1.8 ms (99 %: 6.1 ms)` */
export function pubackText({ puback }: AgentSight): string {
  if (!puback) return ''
  return `PUBACK waits ${latency(puback.p50)} (99 %: ${latency(puback.p99)})`
}

/** `up 3 h 2 min, since 2026-11-22 05:24:10 UTC` */
export function upText({ at, status }: AgentSight): string {
  return `up ${durationText(status.uptimeMs)}, since ${timeText(at - status.uptimeMs)} UTC`
}

/** How full the telemetry's log is. */
export function diskText({ view, wearBytesPerDay }: AgentSight, columns: number): string {
  const { bytes, bytesMax } = view.disk
  const share = bytesMax > 0 ? bytes / bytesMax : 0
  const percent = share > 0 && share < 0.005 ? '<1' : Math.round(share * 100)
  const wear = wearBytesPerDay === undefined ? '' : `, flash wear ${bytesText(wearBytesPerDay)}/day`
  return `${barOf(share, columns)} ${percent} %  ${bytesText(bytes)} of ${bytesText(bytesMax)}${wear}`
}

type Lane = AgentAnswer['lanes'][string]

/** Until the lane's backlog is gone: `-` when there is none. */
export function etaText({ backlogRecords, etaSeconds }: Lane): string {
  if (backlogRecords === 0 || etaSeconds === 0) return '-'
  return etaSeconds === null ? 'unknown' : durationText(etaSeconds * 1000)
}

/** An agent that was not restarted since an upgrade may not tell it. */
export function waitingBytesText({ backlogBytes }: Partial<Lane>): string {
  return backlogBytes === undefined ? '-' : bytesText(backlogBytes)
}

export function ageText({ backlogRecords, backlogAgeMs }: Lane): string {
  if (backlogRecords === 0) return '-'
  return backlogAgeMs < 1000 ? latency(backlogAgeMs) : durationText(backlogAgeMs)
}

/** Why a lane does not deliver, and which topic it is about; undefined while it does. */
export function laneErrorText({ lastError }: Lane, now: number): string | undefined {
  if (!lastError) return undefined
  const { code, message, topic, sinceAt } = lastError
  const about = topic ? `topic ${topic}: ` : ''
  return printable(`${about}${message} (${code}, for ${durationText(now - sinceAt)})`)
}

/** The same of each lane, in their order; what one has said already is not said again. */
export function laneErrors({ status, at }: AgentSight): (string | undefined)[] {
  const said = new Set<string>()
  return Object.values(status.lanes).map(lane => {
    const { code, message, topic } = lane.lastError ?? {}
    const what = JSON.stringify([code, message, topic])
    if (said.has(what)) return undefined
    said.add(what)
    return laneErrorText(lane, at)
  })
}

/** `plant7/pump-3/temperature` */
export function subjectText({ site, device, metric }: AlertData): string {
  return printable(metric === '-' ? `${site}/${device}` : `${site}/${device}/${metric}`)
}

export function openForText({ startedAt }: AlertData, now: number): string {
  const at = Date.parse(startedAt)
  return Number.isFinite(at) ? durationText(now - at) : '-'
}

export function alertsText(alerts: readonly AlertData[]): string {
  const critical = alerts.filter(({ severity }) => severity === 'critical').length
  if (alerts.length === 0) return 'none open'
  return `${thousands(alerts.length)} open${critical > 0 ? `, ${thousands(critical)} critical` : ''}`
}

/** `100 heard, 2 silent` */
export function heardText({ total, silent }: HeardDevices): string {
  return `${thousands(total)} heard${silent > 0 ? `, ${thousands(silent)} silent` : ', none silent'}`
}

export type Quiet = HeardDevices['quietest'][number]

export function deviceName({ site, device }: Quiet): string {
  return printable(`${site}/${device}`)
}

/** `4 min 2 s ago, usually every 2 s` */
export function heardAgoText({ heardAt, usualMs }: Quiet, now: number): string {
  const usual = usualMs > 0 ? `, usually within ${pauseText(usualMs)}` : ''
  return `${pauseText(Math.max(0, now - heardAt))} ago${usual}`
}

function pauseText(ms: number): string {
  return ms < 9_950 ? latency(ms) : durationText(ms)
}

/** `0123456789abcdef, reloaded 3 min ago` */
export function configText({ at, status }: AgentSight): string {
  const { reloadedAt } = status.config ?? {}
  const hash = status.configHash ?? status.config?.hash ?? 'unknown'
  return reloadedAt ? `${hash}, reloaded ${durationText(at - reloadedAt)} ago` : hash
}

export function clientsText(sight: AgentSight): string {
  const { mqtt, upstreams, clock } = sight.status
  const parts = [
    mqtt ? `${count(mqtt.clients, 'client')} at ${mqtt.address}` : 'no listener of its own',
    ...upstreams.map(upstream => printable(`upstream ${upstream.name} ${upstream.state}`)),
    ...(clock === 'synced' ? [] : ['the clock of this box is not set yet'])
  ]
  return parts.join('; ')
}
