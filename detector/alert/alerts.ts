import { ALERT_KINDS, type AlertEvent, type AlertKind } from '../../core/contract/alert-event.ts'
import { type Condition, conditionKey } from './condition.ts'
import type { Hit } from './decision.ts'
import { bare, deviceDetails, type Group, type Part, spoken, told } from './grouping.ts'
import {
  type AlertDetails,
  type AlertSubject,
  clearAlert,
  countHits,
  type LifecycleRule,
  type Observation,
  observeAlert,
  raiseAlert,
  updateAlert
} from './lifecycle.ts'
import type { Muting } from './muting.ts'
import { RecentStarts } from './recent-starts.ts'

export interface AlertsOptions {
  rule: LifecycleRule
  groupBy: 'device' | 'series'
  muting: Muting
  /** Whether a device has several series: its alerts are then the device's. */
  hasSeveral: (site: string, device: string) => boolean
}

/** A reading, as far as time is concerned. */
export interface Passing {
  agentId: string
  eventId: string
  at: number
  receivedAt: number
}

/** Who judged a condition: what a configuration without it makes an orphan of. */
export interface Judge extends AlertSubject {
  detector: string
}

export interface AlertsState {
  groups: Omit<Group, 'joined' | 'ending'>[]
  recent: ReturnType<RecentStarts['snapshot']>
  orphansDue: boolean
}

const AGENTS_MAX = 4096

/**
 * The book of conditions and of the alerts that tell of them: conditions in, alert events out.
 *
 * With `group_by: device` all conditions of one kind of a device are one alert. Of a device with
 * several series it is named for the device (metric `-`) from the start, because an alert's id may
 * not change and nobody knows whether a second series will follow: the first condition raises it,
 * others arrive as `updated` at once (those of one reading together), the last one's end clears it.
 *
 * A condition that a silence covers is kept and not told. An alert is cleared when a silence takes
 * its last condition; what still lasts when the silence ends is raised by its first reading after.
 *
 * Invariants: a condition is in one group; a group has an alert exactly while, between readings, one
 * of its parts is told; an alert has one `raised`, then `updated`, one `cleared`, numbered from 1.
 */
export class Alerts {
  readonly #options: AlertsOptions
  /** In the order of their beginning. */
  readonly #groups = new Map<string, Group>()
  /** Group by condition. */
  readonly #groupOf = new Map<string, Group>()
  readonly #touched = new Set<Group>()
  /** By agent, event time from which a silence may begin or end for its conditions. Derived. */
  readonly #dueAt = new Map<string, number>()
  readonly #starts = new RecentStarts()
  #orphans = false
  /** A snapshot knows that they end with the next reading. */
  #orphansDue = false
  #events: AlertEvent[] = []
  /** Conditions that a silence kept from being told, since the start. */
  readonly suppressed: Record<AlertKind, number> = {
    ...{ anomaly: 0, silent: 0, stuck: 0, range: 0, rate: 0, data_quality: 0 }
  }

  constructor(options: AlertsOptions) {
    this.#options = options
  }

  /** The last event of every alert that is raised and not cleared. */
  get open(): AlertEvent[] {
    return [...this.#groups.values()].flatMap(({ alert }) => (alert ? [alert.last] : []))
  }

  /** How many. */
  get openCount(): number {
    let count = 0
    for (const { alert } of this.#groups.values()) if (alert) count++
    return count
  }

  /** Conditions that last now and that a silence hides. */
  get mutedCount(): number {
    let count = 0
    for (const { parts } of this.#groups.values()) count += parts.filter(p => p.muted).length
    return count
  }

  has(subject: AlertSubject): boolean {
    return this.#groupOf.has(conditionKey(subject))
  }

  /** Words for a condition whose judge has none, about its last reading or about its end. */
  detailsOf(subject: AlertSubject, reason: string): AlertDetails | undefined {
    const { part } = this.#find(subject)
    return part && bare(part, reason)
  }

  /** @param hits Readings that the on-delay counted, oldest first; the last is `seen`'s. */
  begin(condition: Condition, hits: readonly Hit[], seen: Observation): void {
    const { part: known } = this.#find(condition)
    if (known) {
      known.orphan = undefined
      this.observe(condition, seen)
      return
    }
    const details = seen.details()
    const part: Part = {
      condition,
      metric: condition.metric,
      score: Math.max(...hits.map(h => h.score)),
      shares: details.contributions,
      agentId: seen.agentId,
      muted: this.#options.muting.of(condition, seen.at) !== undefined,
      mutedAt: seen.at,
      details
    }
    const group = this.#groupFor(condition)
    group.parts.push(part)
    this.#groupOf.set(conditionKey(condition), group)
    const dueAt = this.#dueAt.get(seen.agentId)
    if (dueAt !== undefined) {
      const changeAt = this.#options.muting.nextChange(condition, seen.at)
      this.#dueAt.set(seen.agentId, Math.min(dueAt, changeAt))
    }
    if (part.muted) this.suppressed[condition.kind]++
    else this.#tell(group, part, hits, seen, details)
  }

  observe(condition: AlertSubject, seen: Observation): void {
    const { group, part } = this.#find(condition)
    if (!group || !part) return
    const mute = this.#options.muting.of(condition, seen.at)
    if ((mute !== undefined) !== part.muted && seen.at >= part.mutedAt) {
      if (mute) this.#hide(group, part, seen, mute.reason)
      else if (seen.score >= this.#options.rule.clear) this.#show(group, part, seen)
      return
    }
    if (part.muted || !group.alert) return
    part.score = Math.max(part.score, seen.score)
    const { rule } = this.#options
    const updateIntervalMs = part.condition.steady
      ? Number.POSITIVE_INFINITY
      : rule.updateIntervalMs
    const said = spoken(group, part, seen, told(group))
    const event = observeAlert({ ...rule, updateIntervalMs }, group.alert, said)
    if (event) this.#events.push(event)
  }

  end(condition: AlertSubject, seen: Observation): void {
    const { group, part } = this.#find(condition)
    // An orphan's end is `endOrphans`': here, in a replay, nobody would be told.
    if (group && part && part.orphan === undefined) this.#end(group, part, seen)
  }

  #end(group: Group, part: Part, seen: Observation): void {
    if (group.alert && !part.muted) {
      group.alert.samples++
      this.#leave(group, part, seen)
    }
    group.parts.splice(group.parts.indexOf(part), 1)
    this.#groupOf.delete(conditionKey(part.condition))
    this.#touched.add(group)
  }

  /** Ends every condition of a series that is no longer watched. */
  endSeries(
    { site, device, metric }: Omit<AlertSubject, 'kind'>,
    seen: Omit<Observation, 'details'>,
    reason: string
  ): void {
    if (this.#groups.size === 0) return
    for (const kind of ALERT_KINDS) {
      const subject = { site, device, metric, kind }
      const { part } = this.#find(subject)
      if (part) this.end(subject, { ...seen, details: () => bare(part, reason) })
    }
  }

  /**
   * Before a reading is judged: looks, in its agent's time, whether silences begin or end for
   * conditions that have no reading of their own now.
   */
  pass({ agentId, eventId, at, receivedAt }: Passing, late: boolean): void {
    const { muting } = this.#options
    if (muting.empty || late || this.#groups.size === 0) return
    // A device whose clock is fast must not begin anybody else's window.
    const now = Math.min(at, receivedAt)
    if (now < (this.#dueAt.get(agentId) ?? Number.NEGATIVE_INFINITY)) return
    let dueAt = Number.POSITIVE_INFINITY
    for (const group of this.#groups.values()) {
      for (const part of group.parts) {
        if (part.agentId !== agentId) continue
        const details = (): AlertDetails => part.details
        const seen = { at: now, score: part.score, agentId, eventId, late, details }
        if (now >= part.mutedAt) this.#passPart(group, part, seen)
        dueAt = Math.min(dueAt, muting.nextChange(part.condition, Math.max(now, part.mutedAt)))
      }
    }
    if (this.#dueAt.size >= AGENTS_MAX) this.#dueAt.clear()
    this.#dueAt.set(agentId, dueAt)
  }

  /** After a reading was judged. @returns Its events, in their order. */
  settle(): AlertEvent[] {
    if (this.#events.length === 0 && this.#touched.size === 0) return []
    const events = this.#events
    this.#events = []
    for (const group of this.#touched) {
      const { alert, joined, ending } = group
      const lasts = group.parts.some(p => !p.muted)
      if (alert && ending && !lasts) {
        events.push(clearAlert(this.#options.rule, alert, ending))
        this.#starts.ended(group.key, alert.startedAt)
        group.alert = undefined
        group.left = []
      } else if (alert && joined && lasts) {
        events.push(updateAlert(this.#options.rule, alert, joined))
      }
      group.joined = undefined
      group.ending = undefined
      if (group.parts.length === 0) this.#groups.delete(group.key)
    }
    this.#touched.clear()
    return events
  }

  snapshot(): AlertsState {
    return structuredClone({
      groups: [...this.#groups.values()],
      recent: this.#starts.snapshot(),
      orphansDue: this.#orphansDue
    })
  }

  restore(state: AlertsState): void {
    const { groups, recent, orphansDue } = structuredClone(state)
    this.#orphansDue = orphansDue
    this.#groups.clear()
    this.#groupOf.clear()
    this.#dueAt.clear()
    this.#starts.restore(recent)
    for (const group of groups) {
      this.#groups.set(group.key, group)
      for (const { condition } of group.parts) this.#groupOf.set(conditionKey(condition), group)
    }
  }

  /**
   * After `restore`: finds conditions that nobody judges any more, because a model or a kind was
   * taken out of the configuration. Who begins one again before it is ended adopts it.
   *
   * @param reason Ends the alerts; by default names the detector that is gone.
   * @returns What they were about. `endOrphans` ends them.
   */
  findOrphans(isJudged: (judge: Judge) => boolean, reason?: string): AlertSubject[] {
    const parts = [...this.#groups.values()].flatMap(group => group.parts)
    for (const part of parts) {
      const { condition, details } = part
      const detector = details.detector.name
      if (isJudged({ ...condition, detector })) continue
      part.orphan ??= reason ?? `${detector} is no longer configured`
    }
    const orphans = parts.filter(part => part.orphan !== undefined)
    this.#orphans = orphans.length > 0
    return orphans.map(part => part.condition)
  }

  /**
   * From now on the next reading ends them, be its events delivered or not: to be saved, so that a
   * crash just after does not end them again.
   *
   * @returns false when there are none.
   */
  setOrphansDue(): boolean {
    this.#orphansDue = this.#orphans
    return this.#orphans
  }

  /**
   * Before a reading is judged; the same bytes whichever it is.
   *
   * @param loud Its events are delivered: this ends orphans that are not due, too.
   */
  endOrphans(loud: boolean): void {
    if (!this.#orphans || !(loud || this.#orphansDue)) return
    this.#orphans = false
    this.#orphansDue = false
    const groups = [...this.#groups.values()]
    for (const [group, part] of groups.flatMap(g => g.parts.map(p => [g, p] as const))) {
      const { agentId, orphan } = part
      if (orphan === undefined) continue
      const last = group.alert?.last.data
      this.#end(group, part, {
        at: last ? Date.parse(last.at) : part.mutedAt,
        score: 0,
        agentId,
        ...(last?.eventId === undefined ? {} : { eventId: last.eventId }),
        late: last?.late ?? false,
        details: () => bare(part, orphan)
      })
    }
  }

  #find(subject: AlertSubject): { group?: Group; part?: Part } {
    const group = this.#groupOf.get(conditionKey(subject))
    return group ? { group, part: group.parts.find(p => p.metric === subject.metric) } : {}
  }

  #groupFor(condition: Condition): Group {
    const { site, device, kind } = condition
    const whole = this.#options.groupBy === 'device'
    const key = whole ? conditionKey({ site, device, kind, metric: '-' }) : conditionKey(condition)
    const known = this.#groups.get(key)
    if (known) return known
    const group: Group = { key, parts: [], left: [] }
    this.#groups.set(key, group)
    return group
  }

  /** Raises the group's alert, or joins it: this is told at the end of the reading. */
  #tell(
    group: Group,
    part: Part,
    hits: readonly Hit[],
    seen: Observation,
    details: AlertDetails
  ): void {
    const { rule } = this.#options
    const { condition } = part
    this.#touched.add(group)
    if (!group.alert) {
      const subject = this.#subjectFor(condition)
      const own = subject.metric === part.metric
      const said = {
        ...seen,
        details: () => (own ? details : deviceDetails(part, details, [part]))
      }
      const startedAt = this.#starts.after(group.key, hits[0].at)
      const named = own ? hits : hits.map(hit => ({ ...hit, metric: part.metric }))
      group.alert = raiseAlert(rule, subject, startedAt, named, said, condition.severityMin)
      this.#events.push(group.alert.last)
      return
    }
    const before = group.left.length
    group.left = group.left.filter(c => c.metric !== part.metric)
    const named = hits.map(hit => ({ ...hit, metric: part.metric }))
    const rises = countHits(rule, group.alert, named, condition.severityMin)
    // Who comes and goes is told once, and then at the pace of updates.
    if (group.left.length < before && !rises) return
    if (group.joined && group.joined.score >= seen.score) return
    group.joined = {
      ...seen,
      details: () => deviceDetails(part, details, told(group))
    }
  }

  #hide(group: Group, part: Part, seen: Observation, reason: string): void {
    part.muted = true
    part.mutedAt = seen.at
    this.suppressed[part.condition.kind]++
    this.#leave(group, part, { ...seen, details: () => bare(part, reason) })
    this.#touched.add(group)
  }

  #show(group: Group, part: Part, seen: Observation): void {
    const details = seen.details()
    Object.assign(part, { muted: false, mutedAt: seen.at, score: seen.score })
    const { at, score, value } = seen
    const hit = { at, score, ...(value === undefined ? {} : { value }) }
    this.#tell(group, part, [hit], seen, details)
  }

  #passPart(group: Group, part: Part, seen: Observation): void {
    const mute = this.#options.muting.of(part.condition, seen.at)
    if (mute && !part.muted) this.#hide(group, part, seen, mute.reason)
    else if (!mute && part.muted && part.condition.standing) this.#show(group, part, seen)
  }

  /** Takes a part out of what is told; the last one's words are those of the clear. */
  #leave(group: Group, part: Part, seen: Observation): void {
    const left = group.left.filter(c => c.metric !== part.metric)
    if (!group.parts.some(p => p !== part && !p.muted)) {
      const said = spoken(group, part, seen, [part, ...left])
      const details = said.details()
      group.ending = { ...said, details: () => details }
    }
    const { metric, score, shares } = part
    group.left = [...left, { metric, score, shares }]
  }

  #subjectFor({ site, device, metric, kind }: Condition): AlertSubject {
    const { groupBy, hasSeveral } = this.#options
    const ofDevice = groupBy === 'device' && hasSeveral(site, device)
    return { site, device, metric: ofDevice ? '-' : metric, kind }
  }
}
