import { ewmaGain, ewmaStep } from '../stats/ewma.ts'

/**
 * How long a series usually repeats a value, and from when on that is no chance any more.
 *
 * Runs of equal values of a working sensor end as if by lot: their lengths are about geometric, and
 * the mean says how likely any length is. Where they are not, the longest of late says it; and one
 * value on which a series rests for much longer than on any other (0 of a machine that is off)
 * has a limit of its own, far away.
 *
 * State: five numbers of one array, and the resting value, in another of full precision.
 *
 * Works for continuous and quantised signals, setpoints, on/off, and what is constant by nature: it
 * has no runs, so no limit. Does not see a sensor stuck at its resting value.
 */
export const STUCK_SIZE = 5

/** Length of the present run, in readings; negative when it is not to be learned from. */
const RUN = 0
const MEAN = 1
const LONGEST = 2
const RUNS = 3
const REST_LONGEST = 4

/** A length so rare is no chance: e^−16, once in 9 million runs. */
const NATS = 16
const RUNS_BELIEVED = 30
/** Longer than this, at the least, and than the longest so many times over. */
const READINGS_MIN = 8
const LONGEST_FACTOR = 2
/** A value is where the series rests when a run on it was so many times longer than any other. */
const REST_SHARE = 3
const REST_FACTOR = 8
/** Where the longest is no chance of the mean, another may be longer by as much again. */
const HEAVY_FACTOR_MAX = 4
/** Mean over about 400 runs; the longest is half forgotten after 14,000. */
const MEAN_GAIN = 0.005
const FORGETTING = 0.00005
/** A run that was too long counts as this share of the limit: four such double it. */
const EVENT_SHARE = 0.6
const RUNS_MAX = 1e6

/** @returns Readings from which a run on `value` is too long; Infinity while that is not known. */
export function stuckLimit(s: Float32Array, base: number, value: number, rest: number): number {
  if (s[base + RUNS] < RUNS_BELIEVED) return Number.POSITIVE_INFINITY
  const longest = s[base + LONGEST]
  const rests = s[base + REST_LONGEST] > REST_SHARE * longest
  if (rests && value === rest) return Math.ceil(REST_FACTOR * s[base + REST_LONGEST])
  const seen = rests ? longest : Math.max(longest, s[base + REST_LONGEST])
  const mean = s[base + MEAN]
  const nat = mean > 1 ? -1 / Math.log(1 - 1 / mean) : 0
  const heavy = seen / (nat * Math.log(s[base + RUNS]) + 1)
  const factor = Math.min(HEAVY_FACTOR_MAX, Math.max(LONGEST_FACTOR, 1.5 * heavy))
  return Math.ceil(Math.max(READINGS_MIN, NATS * nat, factor * (seen + 1)))
}

/** What was learned stays. */
export function stuckBegin(s: Float32Array, base: number): void {
  s[base + RUN] = 0
}

export function stuckRun(s: Float32Array, base: number): number {
  return Math.abs(s[base + RUN])
}

/**
 * @param last The reading before; NaN before the first.
 * @param known What is beyond the limit is an event, and teaches little.
 * @param paused Nothing is learned, neither now nor when the run ends that this reading belongs to.
 * @returns The resting value, perhaps another.
 */
export function stuckLearn(
  s: Float32Array,
  base: number,
  value: number,
  last: number,
  rest: number,
  known: boolean,
  paused: boolean
): number {
  const length = s[base + RUN]
  if (value === last || Number.isNaN(last)) {
    const longer = Math.abs(length) + 1
    s[base + RUN] = paused || length < 0 ? -longer : longer
    return Number.isNaN(last) ? value : rest
  }
  s[base + RUN] = paused ? -1 : 1
  if (paused || length < 0) return rest
  const limit = known ? stuckLimit(s, base, last, rest) : Number.POSITIVE_INFINITY
  const run = length < limit ? length : EVENT_SHARE * limit
  s[base + RUNS] = Math.min(s[base + RUNS] + 1, RUNS_MAX)
  s[base + LONGEST] *= 1 - FORGETTING
  s[base + REST_LONGEST] *= 1 - FORGETTING
  if (last === rest) {
    s[base + REST_LONGEST] = Math.max(run, s[base + REST_LONGEST])
    return rest
  }
  const gain = ewmaGain(s[base + RUNS], MEAN_GAIN)
  s[base + MEAN] = ewmaStep(
    s[base + MEAN],
    Math.min(run, 4 * REST_SHARE * s[base + MEAN] + 4),
    gain
  )
  if (run <= s[base + REST_LONGEST]) {
    s[base + LONGEST] = Math.max(run, s[base + LONGEST])
    return rest
  }
  // The resting value up to now is one like the others.
  s[base + LONGEST] = Math.max(s[base + REST_LONGEST], s[base + LONGEST])
  s[base + REST_LONGEST] = run
  return last
}
