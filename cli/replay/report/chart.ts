import type { ChartPoint } from '../chart-recorder.ts'

/** Coordinates of the drawings: whole numbers, stretched to whatever size they have on the page. */
export const PLOT_WIDTH = 2000
export const PLOT_HEIGHT = 1000

export interface Scale {
  low: number
  high: number
}

/** Time or value → coordinate, clamped to the plot and its edges. */
export function place(value: number, { low, high }: Scale, size: number): number {
  const share = high > low ? (value - low) / (high - low) : 0.5
  return Math.round(Math.min(1, Math.max(0, share)) * size)
}

/** All values with some air, and as much of the bands as does not flatten them. */
export function valueScale(points: readonly ChartPoint[]): Scale {
  let low = Infinity
  let high = -Infinity
  for (const { min, max } of points) {
    low = Math.min(low, min)
    high = Math.max(high, max)
  }
  const range = high - low || Math.abs(high) || 1
  let bandLow = low
  let bandHigh = high
  for (const { band } of points) {
    if (!band) continue
    bandLow = Math.min(bandLow, band.lower)
    bandHigh = Math.max(bandHigh, band.upper)
  }
  const air = range * 0.06
  return {
    low: Math.max(bandLow, low - 0.4 * range) - air,
    high: Math.min(bandHigh, high + 0.4 * range) + air
  }
}

export interface ChartPaths {
  /** From the least to the greatest value of each bucket; `M` begins anew after a gap. */
  value: string
  /** Around the expected range, once for each stretch without a gap. */
  band: string
  score: string
}

/** What the little script of the page reads back from these paths: `M x y`, `L x y`, `V y`. */
export function chartPaths(
  points: readonly ChartPoint[],
  widthMs: number,
  time: Scale,
  scale: Scale
): ChartPaths {
  const gapMs = 8 * usualStepMs(points, widthMs)
  let value = ''
  let score = ''
  let band = ''
  let stretch: { x: number; lower: number; upper: number }[] = []
  const y = (v: number) => PLOT_HEIGHT - place(v, scale, PLOT_HEIGHT)
  let lastY = 0
  let before: ChartPoint | undefined
  for (const point of points) {
    const x = place(point.at + widthMs / 2, time, PLOT_WIDTH)
    const gap = before === undefined || point.at - before.at > gapMs
    const top = y(point.max)
    const bottom = y(point.min)
    // To the end that is nearer, then across to the other.
    const [near, far] =
      Math.abs(top - lastY) < Math.abs(bottom - lastY) ? [top, bottom] : [bottom, top]
    value += `${gap ? 'M' : 'L'}${x} ${near}${near === far && !gap ? '' : `V${far}`}`
    lastY = far
    const s = PLOT_HEIGHT - Math.round(point.score * PLOT_HEIGHT)
    if (s < PLOT_HEIGHT) score += `M${x} ${PLOT_HEIGHT}V${s}`
    if (gap || !point.band) {
      band += area(stretch)
      stretch = []
    }
    if (point.band) {
      const upper = Math.max(-PLOT_HEIGHT, yFree(point.band.upper, scale))
      const lower = Math.min(2 * PLOT_HEIGHT, yFree(point.band.lower, scale))
      stretch.push({ x, upper, lower })
    }
    before = point
  }
  return { value, score, band: band + area(stretch) }
}

/** Not clamped: an edge of the band outside the plot is not to look like one inside it. */
function yFree(value: number, { low, high }: Scale): number {
  return Math.round(PLOT_HEIGHT * (1 - (value - low) / (high - low)))
}

function area(stretch: readonly { x: number; lower: number; upper: number }[]): string {
  if (stretch.length < 2) return ''
  const there = stretch.map(({ x, upper }) => `${x} ${upper}`).join('L')
  const back = stretch
    .toReversed()
    .map(({ x, lower }) => `${x} ${lower}`)
    .join('L')
  return `M${there}L${back}Z`
}

function usualStepMs(points: readonly ChartPoint[], widthMs: number): number {
  const steps = points.slice(1).map((point, i) => point.at - points[i].at)
  steps.sort((a, b) => a - b)
  return Math.max(widthMs, steps[Math.floor(steps.length * 0.5)] ?? 0)
}

export interface Tick {
  /** 0…1 from the scale's low end. */
  share: number
  text: string
  /** A day begins. */
  strong?: boolean
}

/** About `wanted` round numbers. */
export function valueTicks(scale: Scale, wanted = 4): Tick[] {
  const rough = (scale.high - scale.low) / wanted
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= rough) ?? rough
  const ticks: Tick[] = []
  for (let n = Math.ceil(scale.low / step); n * step <= scale.high; n++) {
    const value = n * step
    ticks.push({ share: (value - scale.low) / (scale.high - scale.low), text: numberText(value) })
    if (ticks.length > 2 * wanted) break
  }
  return ticks
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map(n => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map(n => n * MINUTE),
  ...[1, 2, 3, 6, 12].map(n => n * HOUR),
  ...[1, 2, 7, 14].map(n => n * DAY)
]
/** Longer ones are of whole months, which are of no length. */
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 600]
const MONTH = 30.5 * DAY
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** Round instants in UTC, about `wanted`. */
export function timeTicks(scale: Scale, wanted = 7): Tick[] {
  const span = scale.high - scale.low
  const step = STEPS.find(s => s * wanted >= span)
  const shareOf = (at: number) => (span > 0 ? (at - scale.low) / span : 0.5)
  if (step === undefined) {
    return monthTicks(scale, span / wanted).map(at => ({
      share: shareOf(at),
      text: `${MONTHS[new Date(at).getUTCMonth()]} ${new Date(at).getUTCFullYear()}`
    }))
  }
  const ticks: Tick[] = []
  for (let at = Math.ceil(scale.low / step) * step; at <= scale.high; at += step) {
    const strong = step < DAY && at % DAY === 0
    ticks.push({ share: shareOf(at), text: tickText(at, step), strong })
  }
  return ticks
}

function monthTicks({ low, high }: Scale, roughMs: number): number[] {
  const months = MONTH_STEPS.find(n => n * MONTH >= roughMs) ?? 1200
  const begin = new Date(low)
  const first = begin.getUTCFullYear() * 12 + begin.getUTCMonth()
  const ticks: number[] = []
  for (let month = Math.floor(first / months) * months; ; month += months) {
    const at = Date.UTC(Math.floor(month / 12), month % 12)
    if (!(at <= high)) return ticks
    if (at >= low) ticks.push(at)
  }
}

function tickText(at: number, step: number): string {
  const date = new Date(at)
  if (step >= DAY || at % DAY === 0) return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`
  return date.toISOString().slice(11, step < MINUTE ? 19 : 16)
}

/** At most five digits, no tail of zeros: 1234.5, 0.0012, 1.2e+9. */
export function numberText(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace(/\.?0+e/, 'e')
  return String(Number(value.toPrecision(5)))
}
