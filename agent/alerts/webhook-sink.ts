import { ALERT_CONTENT_TYPE, type AlertEvent, SEVERITIES } from '../../core/contract/alert-event.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { REDACTED, scrub, secretText } from '../../core/runtime/secrets.ts'
import { alertmanagerAlerts } from './alertmanager.ts'
import type { WebhookConfig } from './config.ts'
import { type Answer, post } from './post.ts'
import { type AlertChange, type AlertSink, type Delivered, SinkUnavailable } from './sink.ts'

/** What one event becomes. */
interface Parcel {
  alertId: string
  /** Values of the body: alerts for Alertmanager, else the event itself. */
  values: readonly unknown[]
}

const BODY_BYTES_MAX = 256 << 10
const PARCELS_MAX = 64
/**
 * These speak of the address, the login or the moment, not of what was sent: it is tried again. Any
 * other 4xx is a refusal of the event.
 */
const TRIED_AGAIN: ReadonlySet<number> = new Set([401, 403, 404, 405, 407, 408, 421, 425, 429])

/** Alerts by HTTP POST, to Alertmanager or to whoever takes CloudEvents. */
export class WebhookSink implements AlertSink {
  readonly name: string
  readonly target: string
  readonly changesMax: number
  readonly repeatMs: number | undefined
  readonly #config: WebhookConfig
  readonly #agentId: string
  readonly #logger: Logger
  /** Answers by which an event was refused, and which were logged. */
  readonly #told = new Set<string>()

  constructor(config: WebhookConfig, agentId: string, logger: Logger) {
    const isAlertmanager = config.format === 'alertmanager'
    this.name = `webhook.${config.name}`
    // Of an address the path may be a secret.
    this.target = new URL(config.url).origin
    this.changesMax = isAlertmanager ? PARCELS_MAX : 1
    this.repeatMs = isAlertmanager ? config.resendIntervalMs : undefined
    this.#config = config
    this.#agentId = agentId
    this.#logger = logger
  }

  async deliver(changes: readonly AlertChange[], signal: AbortSignal): Promise<Delivered> {
    const wanted = changes.filter(({ event }) => this.#wants(event))
    const parcels = wanted.flatMap(({ event, previous }) => {
      const told = previous && this.#wants(previous) ? previous : undefined
      return this.#parcel(event, told) ?? []
    })
    const unfit = wanted.length - parcels.length
    const refused = unfit + (await this.#send(parcels, signal))
    return { delivered: wanted.length - refused, refused }
  }

  async tellOpen(events: readonly AlertEvent[], signal: AbortSignal): Promise<void> {
    // A CloudEvent is told once; of Alertmanager's alerts the state is.
    if (this.#config.format !== 'alertmanager') return
    const parcels = events.filter(event => this.#wants(event)).flatMap(e => this.#parcel(e) ?? [])
    for (let at = 0; at < parcels.length; at += PARCELS_MAX) {
      await this.#send(parcels.slice(at, at + PARCELS_MAX), signal)
    }
  }

  repeat(events: readonly AlertEvent[], signal: AbortSignal): Promise<void> {
    return this.tellOpen(events, signal)
  }

  /** Alertmanager resolves what is not sent again; that it is over nobody can say. */
  async withdraw(): Promise<void> {}

  #wants({ data }: AlertEvent): boolean {
    const [rank, least] = [data.severity, this.#config.severityMin].map(s => SEVERITIES.indexOf(s))
    // One without a known severity did not come from us: it is not passed over in silence.
    return rank < 0 || rank >= least
  }

  /** @returns undefined when nothing can be made of it: the frame did not come from us. */
  #parcel(event: AlertEvent, previous?: AlertEvent): Parcel | undefined {
    try {
      const values =
        this.#config.format === 'alertmanager'
          ? alertmanagerAlerts(this.#agentId, event, previous)
          : [event]
      return { alertId: event.data.alertId, values }
    } catch (error) {
      this.#tellRefused('unreadable', event.data.alertId, messageOf(error))
      return undefined
    }
  }

  /** @returns How many were refused; of several together each is tried alone. */
  async #send(parcels: readonly Parcel[], signal: AbortSignal): Promise<number> {
    if (parcels.length === 0) return 0
    const body = this.#bodyOf(parcels)
    if (Buffer.byteLength(body) > BODY_BYTES_MAX) {
      if (parcels.length > 1) return this.#sendApart(parcels, signal)
      this.#tellRefused('too_large', parcels[0].alertId, `more than ${BODY_BYTES_MAX} bytes`)
      return 1
    }
    const answer = await this.#post(body, signal)
    if (answer.status >= 200 && answer.status < 300) return 0
    if (isRefusal(answer.status)) {
      if (parcels.length > 1) return this.#sendApart(parcels, signal)
      this.#tellRefused(`${answer.status}`, parcels[0].alertId, answer.text)
      return 1
    }
    throw new SinkUnavailable(complaint(answer), answer.retryAfterMs)
  }

  async #sendApart(parcels: readonly Parcel[], signal: AbortSignal): Promise<number> {
    let refused = 0
    for (const parcel of parcels) refused += await this.#send([parcel], signal)
    return refused
  }

  #bodyOf(parcels: readonly Parcel[]): string {
    const values = parcels.flatMap(parcel => parcel.values)
    return JSON.stringify(this.#config.format === 'alertmanager' ? values : values[0])
  }

  async #post(body: string, signal: AbortSignal): Promise<Answer> {
    const { url, format, timeoutMs } = this.#config
    const secrets = [url]
    try {
      const headers: Record<string, string> = {
        'content-type': format === 'alertmanager' ? 'application/json' : ALERT_CONTENT_TYPE
      }
      for (const { name, value } of this.#config.headers) {
        // Read each time: a file may have been exchanged.
        headers[name] = secretText(value)
        secrets.push(headers[name])
      }
      const answer = await post(url, headers, body, timeoutMs, signal)
      return { ...answer, text: hidden(answer.text, secrets) }
    } catch (error) {
      const waitMs = error instanceof SinkUnavailable ? error.waitMs : undefined
      throw new SinkUnavailable(hidden(messageOf(error), secrets), waitMs)
    }
  }

  /** Each kind once: a line an event would be a flood. */
  #tellRefused(reason: string, alertId: string, answer: string): void {
    if (this.#told.has(reason)) return
    this.#told.add(reason)
    this.#logger.error(
      { event: 'alert_sink.refused', sink: this.name, reason, alertId, answer },
      'A webhook refuses an alert for good; it is passed over, and further ones of this kind are only counted.'
    )
  }
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && !TRIED_AGAIN.has(status)
}

function complaint({ status, text }: Answer): string {
  if (status >= 300 && status < 400) {
    return `the address answers ${status}, a redirect, which is not followed: give the final one`
  }
  return `the address answers ${status}${text === '' ? '' : `: ${text}`}`
}

/** Also where only a part of it stands: `Bearer …` is a secret from its second word on. */
function hidden(text: string, secrets: readonly string[]): string {
  const parts = secrets.flatMap(secret => [secret, ...secret.split(/\s+/).filter(isLong)])
  return scrub(text, new Set(parts)).replaceAll(/https?:\/\/\S*\[secret\]\S*/g, REDACTED)
}

function isLong(part: string): boolean {
  return part.length >= 8
}
