import type { AgentStatus } from '../../agent/status.ts'
import { CERTIFICATE_WARNING_MS } from '../../core/runtime/tls-files.ts'
import { count, durationText, printable } from '../log/text.ts'
import type { ConfigStatus } from '../reload/reloading.ts'

/** A line beside the verdict: only what an operator needs to know, and only while it is so. */
export interface Note {
  level: 'info' | 'warning' | 'critical'
  text: string
}

/** What `/status` says, as far as it is told here. */
export type SeenStatus = AgentStatus & { config?: ConfigStatus }

/** Readings, or what stands for them, that never reach Kafka as themselves. */
export interface Loss {
  name: string
  count: number
}

const DROPS: Readonly<Record<string, string>> = {
  'ingest.qos0': 'QoS 0 not taken',
  'log.full': 'dropped, log full',
  'log.age': 'dropped for age',
  'log.damaged': 'damaged on disk'
}

/** Since start, by what happened; only what did. */
export function dropsOf({ drops }: Pick<AgentStatus, 'drops'>): Loss[] {
  return Object.entries(drops)
    .map(([name, count]) => ({ name: DROPS[name] ?? name, count }))
    .filter(({ count }) => count > 0)
}

/** As `dropsOf`. */
export function deadLettersOf({ deadLetters }: Pick<AgentStatus, 'deadLetters'>): Loss[] {
  return Object.entries(deadLetters)
    .map(([reason, count]) => ({ name: `dead letters, ${reason.replaceAll('_', ' ')}`, count }))
    .filter(({ count }) => count > 0)
}

/** The gravest first. */
export function notesOn(status: SeenStatus, now: number): Note[] {
  const notes = [
    ...lossNotes(status),
    ...connectionNotes(status, now),
    ...alertNotes(status),
    ...configTroubles({ at: now, status }).map(text => warning(text)),
    ...refusalNotes(status)
  ]
  if (status.clock === 'unsynced') notes.push(warning('The clock of this box is not set yet.'))
  const order = { critical: 0, warning: 1, info: 2 }
  return notes.sort((a, b) => order[a.level] - order[b.level])
}

/** Certificates near their end, upstreams in trouble, a fleet that hears nothing. */
export function connectionNotes(status: AgentStatus, now: number): Note[] {
  return [
    ...certificateNotes(status, now),
    ...upstreamNotes(status, now),
    ...fleetNotes(status, now)
  ]
}

/** What ends soon, has ended, or was exchanged in vain. */
export function certificateNotes({ mqtt }: Pick<AgentStatus, 'mqtt'>, now: number): Note[] {
  return (mqtt?.listeners ?? []).flatMap(({ protocol, address, certificate }) => {
    if (!certificate) return []
    const what = `The certificate of ${protocol}://${address}`
    const leftMs = certificate.expiresAt - now
    const notes: Note[] = []
    if (leftMs <= 0) {
      const text = `${what} expired ${durationText(-leftMs)} ago: devices that check it stay away.`
      notes.push({ level: 'critical', text })
    } else if (leftMs < CERTIFICATE_WARNING_MS) {
      notes.push(warning(`${what} expires in ${durationText(leftMs)}.`))
    }
    if (certificate.error) {
      notes.push(warning(`${what}: its new files are not in use. ${certificate.error}`))
    }
    return notes
  })
}

function lossNotes(status: AgentStatus): Note[] {
  const [drops, letters] = [dropsOf(status), deadLettersOf(status)]
  const notes: Note[] = []
  if (drops.length > 0) notes.push({ level: 'critical', text: `Lost since start: ${list(drops)}.` })
  if (letters.length > 0) notes.push(warning(`Set aside since start: ${list(letters)}.`))
  return notes
}

function upstreamNotes({ upstreams }: AgentStatus, now: number): Note[] {
  return upstreams.flatMap(({ name, state, sinceAt, lastError, trouble, granted, oversized }) => {
    const notes: Note[] = []
    const tell = (text: string) => notes.push(warning(`Upstream ${name}: ${text}`))
    const never = trouble === 'never_connected'
    if (state === 'waiting') {
      const since = never ? 'never reached' : `away for ${durationText(now - sinceAt)}`
      tell(lastError ? `${since}: ${lastError}` : `${since}.`)
    } else if (lastError) tell(lastError)
    if (trouble && !(never && state === 'waiting')) tell(TROUBLES[trouble])
    for (const [filter, grant] of Object.entries(granted ?? {})) {
      if (typeof grant === 'string') tell(`the subscription to ${filter} is refused: ${grant}`)
    }
    if (oversized > 0) tell(`${count(oversized, 'message')} larger than the log takes, lost.`)
    return notes
  })
}

type Trouble = NonNullable<AgentStatus['upstreams'][number]['trouble']>

const TROUBLES: Readonly<Record<Trouble, string>> = {
  never_connected: 'never reached since the start.',
  taken_over: 'another client seems to use its client id, each takes the session from the other.',
  stuck: 'its messages wait for the log and are not acknowledged.',
  silent: 'connected, and no message comes.'
}

function alertNotes({ lanes, alertSinks }: AgentStatus): Note[] {
  const notes: Note[] = []
  const { backlogRecords = 0, state } = lanes.alerts ?? {}
  if (backlogRecords > 0) {
    const away = state === 'waiting' || state === 'parked'
    const text = `${count(backlogRecords, 'alert event')} ${away ? 'safe on disk, not in Kafka yet' : 'on the way'}.`
    notes.push({ level: 'info', text })
  }
  for (const { name, state, backlogRecords, lastError } of alertSinks) {
    if (state !== 'waiting') continue
    const reason = lastError?.message ?? `${backlogRecords} of them`
    notes.push(warning(`Alerts to ${name} wait: ${reason}`))
  }
  return notes
}

/** While Kafka takes readings; else it is the same trouble. */
function fleetNotes({ statusTopic, mode }: AgentStatus, now: number): Note[] {
  const error = statusTopic?.lastError
  if (!error || (mode !== 'streaming' && mode !== 'draining')) return []
  const since = durationText(now - error.sinceAt)
  return [warning(`The fleet has not heard of this agent for ${since}: ${error.message}`)]
}

function refusalNotes(status: AgentStatus): Note[] {
  const all = refusals(status)
  if (all.length === 0) return []
  return [{ level: 'info', text: `Not let in since start: ${list(all)}.` }]
}

function list(losses: readonly Loss[]): string {
  return losses.map(({ name, count }) => `${count.toLocaleString('en-US')} ${name}`).join('; ')
}

function warning(text: string): Note {
  return { level: 'warning', text: text.trim() }
}

/** Who was not let in, by reason; only what happened. */
export function refusals(status: SeenStatus): { name: string; count: number }[] {
  const { refused = {}, malformed = 0 } = status.mqtt ?? {}
  const all = { ...refused, malformed, 'not stored': status.intake.refused }
  return Object.entries(all)
    .map(([name, n]) => ({ name: name.replaceAll('_', ' '), count: n ?? 0 }))
    .filter(({ count }) => count > 0)
}

/** What of the configuration file is not in effect; nothing when all of it is. */
export function configTroubles(sight: { at: number; status: { config?: ConfigStatus } }): string[] {
  const { at, status } = sight
  const { lastError, needsRestart = [] } = status.config ?? {}
  const told = []
  if (lastError) {
    const ago = durationText(at - lastError.at)
    told.push(`The file as it was read ${ago} ago is not in effect: ${lastError.message}`)
  }
  if (needsRestart.length > 0) told.push(`Waits for a restart: ${needsRestart.join(', ')}`)
  // A message may list mistakes line by line.
  return told.map(text => printable(text.replace(/\s*\n\s*/g, ' ')))
}
