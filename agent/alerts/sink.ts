import type { AlertEvent } from '../../core/contract/alert-event.ts'

/** An event of the alert log, and what was said of its alert before. */
export interface AlertChange {
  readonly event: AlertEvent
  /** The alert's last event before this one; undefined when it was not open, or is not known. */
  readonly previous: AlertEvent | undefined
  /** It is open now, and its end will be noticed: see `OpenAlerts`. */
  readonly isOpen: boolean
}

/** What became of changes; those that the sink is not to have are in neither. */
export interface Delivered {
  readonly delivered: number
  /** Given up. */
  readonly refused: number
}

/**
 * A place outside that alerts are told to. An `AlertReader` drives it: one call at a time, in the order
 * of the alert log, the same call again until it is done. So whatever is told may be told again, after
 * a failure or a crash; the ids of the events stay the same.
 *
 * A call rejects when it is not known that all has arrived, and in time it may; what can never be
 * delivered is given up and counted, or one bad event would hold all behind it.
 */
export interface AlertSink {
  /** Of its cursor, its file and its metrics: `mqtt`, `upstream.plant`, `webhook.ops`. */
  readonly name: string
  /** Where to, for a person; holds no secret. */
  readonly target: string
  /** Most changes of one call. */
  readonly changesMax: number
  /** `repeat` is called so often, ms; undefined: never. */
  readonly repeatMs: number | undefined
  deliver(changes: readonly AlertChange[], signal: AbortSignal): Promise<Delivered>
  /** These are open: told at the start, and when they turn out to be. */
  tellOpen(events: readonly AlertEvent[], signal: AbortSignal): Promise<void>
  /** What must be said again of the open alerts, that they be not forgotten out there. */
  repeat(events: readonly AlertEvent[], signal: AbortSignal): Promise<void>
  /** Nobody knows these any more, so nobody will ever clear them: takes back that they are open. */
  withdraw(events: readonly AlertEvent[], signal: AbortSignal): Promise<void>
}

/** Nothing that an event is guilty of: the call is worth another try. */
export class SinkUnavailable extends Error {
  /** The other side asks for so much time. */
  readonly waitMs: number | undefined

  constructor(message: string, waitMs?: number) {
    super(message)
    this.name = 'SinkUnavailable'
    this.waitMs = waitMs
  }
}
