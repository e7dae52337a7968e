/** Time as a parameter: production uses the system's, tests their own. */
export interface Clock {
  /** Wall clock, epoch ms. May jump. */
  now(): number
  /** Monotonic clock of this boot, ms with fractions. Never goes back. */
  monotonic(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => Number(process.hrtime.bigint()) / 1e6
}
