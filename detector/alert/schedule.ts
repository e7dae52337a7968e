/** Windows that come again by the wall clock of a place. */
export interface ScheduleRule {
  /** Of the beginning, 0 Sunday … 6 Saturday; none: every day. */
  days: readonly number[]
  /** Minutes after midnight, 0…1439. */
  fromMinute: number
  /** 1…1440; not behind `fromMinute`: on the next day. */
  toMinute: number
  /** IANA name. */
  zone: string
}

/** Half-open [from, end), epoch ms, in which a schedule is on throughout, or off. */
export interface Span {
  from: number
  end: number
  on: boolean
}

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
/** Days looked at around an instant: a weekly window is within them, on either side. */
const AROUND_DAYS = 8
const SPANS_KEPT = 8
/** Beyond these years no schedule is on. */
const INSTANT_MIN = Date.UTC(1900, 0)
const INSTANT_MAX = Date.UTC(9000, 0)

/**
 * Answers whether an instant is in a window. A window's edges are instants at which the wall clock
 * of the zone shows its times: where the clock is put forward over one, it is the moment of the
 * change; where it shows one twice, a window begins at the first and ends at the second.
 */
export class Schedule {
  readonly #rule: ScheduleRule
  readonly #wall: Intl.DateTimeFormat
  /** Latest answers, so that readings in a row cost a comparison. */
  readonly #spans: Span[] = []

  constructor(rule: ScheduleRule) {
    this.#rule = rule
    this.#wall = new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: rule.zone, hourCycle: 'h23', calendar: 'gregory', numberingSystem: 'latn' },
      ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
      ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' }
    })
  }

  /** The span that an instant lies in; it may be shorter than the whole of it. */
  spanAt(at: number): Span {
    const kept = this.#spans.find(s => at >= s.from && at < s.end)
    if (kept) return kept
    const span = this.#find(at)
    this.#spans.unshift(span)
    this.#spans.length = Math.min(this.#spans.length, SPANS_KEPT)
    return span
  }

  #find(at: number): Span {
    if (at < INSTANT_MIN) return { from: Number.NEGATIVE_INFINITY, end: INSTANT_MIN, on: false }
    if (at >= INSTANT_MAX) return { from: INSTANT_MAX, end: Number.POSITIVE_INFINITY, on: false }
    const today = Math.floor(this.#wallAt(at) / DAY_MS) * DAY_MS
    let from = Math.max(INSTANT_MIN, at - AROUND_DAYS * DAY_MS + DAY_MS)
    let end = Math.min(INSTANT_MAX, at + AROUND_DAYS * DAY_MS - DAY_MS)
    for (let day = -AROUND_DAYS; day <= AROUND_DAYS; day++) {
      const window = this.#windowOf(today + day * DAY_MS)
      if (!window) continue
      if (at >= window.from && at < window.end) return { ...window, on: true }
      if (window.end <= at) from = Math.max(from, window.end)
      else end = Math.min(end, window.from)
    }
    return { from, end, on: false }
  }

  /** @param midnight A date, as the epoch ms that it would have in UTC. */
  #windowOf(midnight: number): { from: number; end: number } | undefined {
    const { days, fromMinute, toMinute } = this.#rule
    if (days.length > 0 && !days.includes(new Date(midnight).getUTCDay())) return undefined
    const lastDay = toMinute > fromMinute ? midnight : midnight + DAY_MS
    const from = this.#instantOf(midnight + fromMinute * MINUTE_MS, 'first')
    const end = this.#instantOf(lastDay + toMinute * MINUTE_MS, 'last')
    return from < end ? { from, end } : undefined
  }

  /** The instant at which the wall shows a time (as its UTC epoch ms): the change where none does. */
  #instantOf(wall: number, which: 'first' | 'last'): number {
    const before = this.#offsetAt(wall - DAY_MS)
    const after = this.#offsetAt(wall + DAY_MS)
    const shown = [wall - before, wall - after].filter(at => this.#wallAt(at) === wall)
    if (shown.length > 0) return which === 'first' ? Math.min(...shown) : Math.max(...shown)
    // Skipped: the first instant of the new offset.
    let [low, high] = [wall - DAY_MS, wall + DAY_MS]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (this.#offsetAt(middle) === before) low = middle
      else high = middle
    }
    return high
  }

  #offsetAt(at: number): number {
    return this.#wallAt(at) - at
  }

  /** What the wall clock shows, as the epoch ms that it would be in UTC. */
  #wallAt(at: number): number {
    const wall: Record<string, number> = {}
    for (const { type, value } of this.#wall.formatToParts(at)) wall[type] = Number(value)
    const ms = ((at % 1000) + 1000) % 1000
    const { year, month, day, hour, minute, second } = wall
    return Date.UTC(year, month - 1, day, hour, minute, second) + ms
  }
}
