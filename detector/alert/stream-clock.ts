import { ewmaGain, ewmaStep } from '../stats/ewma.ts'

/** An agent's readings are behind its watermark when they lag by more than this. */
export const LATENESS_MS = 60_000

/**
 * Time as one agent's readings tell it: no clock of ours is asked, so a replay sees the same.
 *
 * `activeMs` runs with the agent's receive times, but only while readings flow: a pause of the whole
 * stream (the agent was away, nobody sent) is a *gap*, counts for next to nothing, and is never a
 * device's fault. `watermark` is the highest event time, not let ahead of the receive time by a
 * device whose clock is fast.
 */
export interface StreamClock {
  activeMs: number
  /** Value of `activeMs` just after the last gap. */
  graceFromMs: number
  receivedAt: number
  /** Usual time between two readings of the agent, ms. */
  interArrivalMs: number
  readings: number
  watermark: number
}

export function startClock(receivedAt: number, at: number): StreamClock {
  return {
    activeMs: 0,
    graceFromMs: 0,
    receivedAt,
    interArrivalMs: 0,
    readings: 1,
    watermark: Math.min(at, receivedAt)
  }
}

/** @param gapMsMin Shorter pauses are never gaps. */
export function advanceClock(
  clock: StreamClock,
  receivedAt: number,
  at: number,
  gapMsMin: number
): void {
  // A step back is a corrected clock: it passes no time.
  const passed = Math.max(0, receivedAt - clock.receivedAt)
  const limit = Math.max(gapMsMin, 5 * clock.interArrivalMs)
  const counted = clock.readings < 10 ? passed : Math.min(passed, limit)
  clock.interArrivalMs = ewmaStep(clock.interArrivalMs, counted, ewmaGain(clock.readings, 0.05))
  clock.readings++
  clock.activeMs += Math.min(passed, limit)
  if (passed > limit) clock.graceFromMs = clock.activeMs
  clock.receivedAt = receivedAt
  clock.watermark = Math.max(clock.watermark, Math.min(at, receivedAt))
}
