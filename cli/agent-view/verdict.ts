import type { AgentStatus, LaneStatus } from '../../agent/status.ts'
import type { LiveLook } from '../../detector/live/live-view.ts'
import { bytesText, count, durationText } from '../log/text.ts'
import { certificateNotes, dropsOf } from './notes.ts'

/** Is all well? In a word for the colour, and in words. */
export interface Verdict {
  level: 'ok' | 'info' | 'warning' | 'critical'
  title: string
  text: string
  /** What a person should do now. */
  todo?: string
}

export interface VerdictParts {
  status: AgentStatus
  look: Pick<LiveLook, 'alerts'> | undefined
  /** Bytes a second that come into the log. */
  inBytesPerS: number
  /** undefined: not known here. */
  overflow: 'drop_oldest' | 'drop_newest' | 'block' | undefined
  now: number
}

/** The path of the readings comes first, then what the readings say. */
export function verdictOn(parts: VerdictParts): Verdict {
  const { status } = parts
  if (!status.ready && status.mode !== 'full') {
    const title = 'Readings are not accepted'
    const text = 'Devices are not told that their readings are safe, and keep them.'
    if (status.mode === 'parked') {
      // Long enough, and the log has become full over it.
      const cause = parked(parts)
      return { ...cause, title, text: `${text} ${cause.title}. ${cause.text}` }
    }
    const todo = "Look at the process's own log lines: they say why."
    return { level: 'critical', title, text, todo }
  }
  if (status.mode === 'parked') return parked(parts)
  if (status.mode === 'full') return full(parts)
  if (status.mode === 'buffering') return buffering(parts)
  if (status.mode === 'draining') return draining(status)
  return streaming(parts)
}

function parked({ status, now }: VerdictParts): Verdict {
  const [name, lane] = Object.entries(status.lanes).find(([, l]) => l.state === 'parked') ?? []
  const { code = '', message = '', topic, sinceAt = now } = lane?.lastError ?? {}
  const what = name === 'alerts' ? 'Alerts wait' : 'Readings wait'
  const since = `for ${durationText(now - sinceAt)}`
  const backlog = kept(lane?.backlogRecords ?? 0)
  return {
    level: 'critical',
    title: topic ? `Parked: topic ${topic}` : 'Parked: Kafka refuses',
    text: `${what} ${since}. ${sentence(message)} ${backlog}`,
    todo: remedyOf(code, topic)
  }
}

/** What to do about a refusal of Kafka's; when it is done, delivery goes on by itself. */
export function remedyOf(code: string, topic: string | undefined): string {
  const name = topic ? `the topic ${topic}` : 'the topic'
  if (code === 'UNKNOWN_TOPIC_OR_PARTITION') {
    return `Create ${name}, for example with: fieldline topics create -c fieldline.yaml`
  }
  if (code === 'TOPIC_AUTHORIZATION_FAILED') {
    return `Allow the agent's Kafka user to write to ${name}: ACL operations Write and Describe.`
  }
  if (/AUTHORIZATION_FAILED/.test(code)) {
    return "Give the agent's Kafka user the ACLs that 'fieldline topics create' prints."
  }
  if (/SASL/.test(code)) return 'Check user, password and mechanism in kafka.sasl.'
  if (/COMPRESSION/.test(code)) return 'Choose another uplink.compression.'
  return 'Mend this on the side of Kafka; delivery then goes on by itself.'
}

function full({ status, overflow }: VerdictParts): Verdict {
  const lost = status.drops['log.full'] ?? 0
  const soFar = lost > 0 ? ` ${count(lost, 'reading')} so far.` : ''
  const { state, log } = status.lanes.telemetry
  const used = `${bytesText(log.bytes)} of ${bytesText(log.bytesMax)}`
  if (log.bytes < log.bytesMax / 2) {
    const todo = 'Make room on its disk: what is delivered goes by itself.'
    const text = `Its disk has no room left for it; it has ${used}.`
    return { level: 'critical', title: 'The disk is full', text, todo }
  }
  const away = state === 'waiting' || state === 'connecting'
  const cause = away ? 'Kafka is away' : 'Kafka takes less than comes in'
  const text = {
    drop_oldest: 'The oldest readings are dropped to make room for new ones.',
    drop_newest: 'New readings are refused: devices keep those of QoS 1 and 2.',
    block: 'Devices are made to wait; what is on disk stays.',
    unknown: status.ready
      ? 'What happens to further readings is set by log.overflow.'
      : 'No reading is taken until there is room: devices keep those of QoS 1 and 2.'
  }[overflow ?? 'unknown']
  return {
    level: 'critical',
    title: 'The disk log is full',
    text: `${cause}, and ${used} are used up. ${text}${soFar}`,
    todo: `${away ? 'Bring Kafka back' : 'Mend the link to Kafka'}, or raise log.bytes_max if the disk has room.`
  }
}

function buffering({ status, inBytesPerS, now }: VerdictParts): Verdict {
  const lane = status.lanes.telemetry
  const { bytes, bytesMax } = lane.log
  const roomMs = inBytesPerS > 0 ? ((bytesMax - bytes) / inBytesPerS) * 1000 : undefined
  const room =
    roomMs === undefined || roomMs > 365 * 86_400_000
      ? ''
      : ` At the present rate the disk lasts for ${durationText(roomMs)} more.`
  const reason = firstError(status)
  const drops = dropsOf(status)
  return {
    level: 'warning',
    title:
      drops.length === 0 ? 'Kafka is away; nothing is lost' : 'Kafka is away; readings are kept',
    text: `${kept(lane.backlogRecords)}${room}`,
    todo: reason
      ? `It is tried again by itself. Since ${durationText(now - reason.sinceAt)}: ${sentence(reason.message)}`
      : 'It is tried again by itself.'
  }
}

function draining(status: AgentStatus): Verdict {
  const { backlogRecords, etaSeconds } = status.lanes.telemetry
  const left =
    etaSeconds === null
      ? 'The backlog does not shrink: as much comes as leaves.'
      : `About ${durationText(etaSeconds * 1000)} to go.`
  const text = `${count(backlogRecords, 'reading')} on the way from disk. ${left}`
  return { level: 'info', title: 'Kafka is back; catching up', text }
}

function streaming({ status, look, now }: VerdictParts): Verdict {
  const expired = certificateNotes(status, now).find(({ level }) => level === 'critical')
  if (expired) {
    const todo = 'Exchange its files; new ones are taken over without a restart.'
    return { level: 'critical', title: 'A certificate has expired', text: expired.text, todo }
  }
  const stored = status.intake.stored.reduce((sum, n) => sum + n)
  const upstream = status.upstreams.find(({ state }) => state === 'waiting')
  if (upstream) {
    const text = `The upstream broker ${upstream.name} is away. ${sentence(upstream.lastError ?? '')}`
    return { level: 'warning', title: 'An upstream broker is away', text: text.trim() }
  }
  if (look && look.alerts.total > 0) {
    const { total, devices, critical } = look.alerts
    const severe = critical > 0 ? `, ${critical} of them critical` : ''
    return {
      level: critical > 0 ? 'critical' : 'warning',
      title: `${count(devices, 'device')} ${devices === 1 ? 'needs' : 'need'} a look`,
      text: `${count(total, 'open alert')}${severe}. Delivery is well: readings reach Kafka as they come.`
    }
  }
  if (stored === 0 && status.lanes.telemetry.counters.delivered === 0) {
    const text = 'The agent is ready and waits for its first reading.'
    return { level: 'info', title: 'Ready for devices', text }
  }
  const quiet = look ? ' No open alerts.' : ''
  return { level: 'ok', title: 'All is well', text: `Readings reach Kafka as they come.${quiet}` }
}

function firstError(status: AgentStatus): LaneStatus['lastError'] {
  return Object.values(status.lanes).find(({ lastError }) => lastError)?.lastError
}

function kept(records: number): string {
  if (records === 0) return 'What devices send is kept on this disk.'
  return `${count(records, 'reading')} ${records === 1 ? 'is' : 'are'} safe on this disk.`
}

function sentence(text: string): string {
  return text === '' || /[.!?]$/.test(text) ? text : `${text}.`
}
