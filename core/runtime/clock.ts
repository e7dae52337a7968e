/** Time as a parameter: production uses the system's, tests their own. */
export interface Clock {
  /** Wall clock, epoch ms. May jump. */
  now(): number
  /** Monotonic clock of this boot, ms with fractions. Never goes back. */
  monotonic(): number
}

/** `performance.now()` begins with the process; this makes it begin with the boot. */
const processStart = Number(process.hrtime.bigint()) / 1e6 - performance.now()

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => processStart + performance.now()
}
