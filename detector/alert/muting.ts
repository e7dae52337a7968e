import { matchesAny } from '../pattern.ts'
import type { AlertSubject } from './lifecycle.ts'
import { Schedule, type ScheduleRule } from './schedule.ts'

/** Why an alert is not told (ANSI/ISA-18.2 §11): by whom it was put aside, and for how long. */
export const MUTE_STATES = ['shelved', 'suppressed_by_design', 'out_of_service'] as const
export type MuteState = (typeof MUTE_STATES)[number]

/** A silence of the configuration. All bounds that are given must hold. */
export interface MuteRule {
  name: string
  state: MuteState
  /** Readings within it teach nothing. */
  learning: 'continued' | 'paused'
  sites?: readonly string[]
  devices?: readonly string[]
  metrics?: readonly string[]
  kinds?: readonly string[]
  /** Event time, epoch ms; half-open. */
  fromAt?: number
  toAt?: number
  schedule?: ScheduleRule
}

/** Spans of a schedule that are looked at, for one interval. */
const SPANS_MAX = 64

type Subject = Pick<AlertSubject, 'site' | 'device' | 'metric' | 'kind'>

/**
 * Which silences cover a condition, by its event time: no clock is asked, so a replay of a night is
 * silent as the night was. Patterns and schedules are looked at only while their window is on.
 *
 * (`silence` elsewhere in the code is a device's that stopped: see `silence.ts`.)
 */
export class Muting {
  readonly #mutes: { rule: MuteRule; schedule: Schedule | undefined }[]
  readonly #pausing: { rule: MuteRule; schedule: Schedule | undefined }[]

  constructor(rules: readonly MuteRule[]) {
    this.#mutes = rules.map(rule => ({
      rule,
      schedule: rule.schedule && new Schedule(rule.schedule)
    }))
    this.#pausing = this.#mutes.filter(({ rule }) => rule.learning === 'paused')
  }

  /** Nothing is ever muted. */
  get empty(): boolean {
    return this.#mutes.length === 0
  }

  /** @returns One sentence about the silence that covers the subject; undefined when none does. */
  of(subject: Subject, at: number): { reason: string } | undefined {
    for (const { rule, schedule } of this.#mutes) {
      const end = endOf(rule, schedule, at)
      if (end === undefined || !covers(rule, subject)) continue
      const words = rule.state.replaceAll('_', ' ')
      const until = Number.isFinite(end) ? ` until ${new Date(end).toISOString()}` : ''
      return { reason: `${words}${until} by the silence '${rule.name}'` }
    }
    return undefined
  }

  /** Some windows pause learning. */
  get pauses(): boolean {
    return this.#pausing.length > 0
  }

  /**
   * Whether a reading is not to be learned from, for what finds alerts of a kind.
   *
   * @param since Nor is the time since then, if any of it lies in such a window.
   */
  pausesLearning(
    series: Omit<Subject, 'kind'>,
    kind: Subject['kind'],
    at: number,
    since = at
  ): boolean {
    if (this.#pausing.length === 0) return false
    const { site, device, metric } = series
    return this.#pausing.some(
      ({ rule, schedule }) =>
        meets(rule, schedule, Math.min(since, at), at) &&
        covers(rule, { site, device, metric, kind })
    )
  }

  /** @returns An instant behind `at` until which `of` stays as it is for the subject. */
  nextChange(subject: Subject, at: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const { rule, schedule } of this.#mutes) {
      if (!covers(rule, subject)) continue
      for (const edge of [rule.fromAt, rule.toAt, schedule?.spanAt(at).end]) {
        if (edge !== undefined && edge > at) next = Math.min(next, edge)
      }
    }
    return next
  }
}

/** When the window that an instant lies in ends; undefined when it lies in none. */
function endOf(rule: MuteRule, schedule: Schedule | undefined, at: number): number | undefined {
  const { fromAt = Number.NEGATIVE_INFINITY, toAt = Number.POSITIVE_INFINITY } = rule
  if (at < fromAt || at >= toAt) return undefined
  if (!schedule) return toAt
  const span = schedule.spanAt(at)
  return span.on ? Math.min(toAt, span.end) : undefined
}

/** Whether a window is on at any moment of the time between two instants, both included. */
function meets(rule: MuteRule, schedule: Schedule | undefined, from: number, to: number): boolean {
  const { fromAt = Number.NEGATIVE_INFINITY, toAt = Number.POSITIVE_INFINITY } = rule
  let at = Math.max(from, fromAt)
  if (at > to || at >= toAt) return false
  if (!schedule) return true
  for (let spans = 0; spans < SPANS_MAX; spans++) {
    const { on, end } = schedule.spanAt(at)
    if (on) return true
    if (end > to || end >= toAt) return false
    at = end
  }
  // Nobody learns from a year.
  return true
}

function covers(rule: MuteRule, { site, device, metric, kind }: Subject): boolean {
  return (
    matchesAny(rule.sites, site) &&
    matchesAny(rule.devices, device) &&
    matchesAny(rule.metrics, metric) &&
    matchesAny(rule.kinds, kind)
  )
}
