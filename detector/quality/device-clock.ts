import type { Finding } from './finding.ts'

/** What is known of a device's clock: JSON in snapshots. */
export interface DeviceClock {
  /** Usual distance of its time from the agent's, ms; behind is negative. */
  usualMs: number
  /** Readings with the usual distance, counted up to `FAMILIAR`. */
  usual: number
  /** Readings in a row with another; receive time and device's time of the first of them. */
  odd: number
  oddReceivedAt: number
  oddAt: number
  /** 0: nothing is told of it; else 1 + readings in a row since it was last wrong. */
  told: number
}

/** Nearer is not told. */
const TOLERANCE_MS = 60_000
const ODD_READINGS = 5
const ODD_MS = 60_000
/** A clock runs as fast as the agent's; a backlog that is sent later runs faster. */
const PACE = 0.2
const FAMILIAR = 20
/** Behind by so much from the beginning: intervals named for their start, no wrong clock. */
const HABIT_MS_MAX = 2 * 3_600_000
const USUAL_GAIN = 0.02

export function newClock(): DeviceClock {
  return { usualMs: 0, usual: 0, odd: 0, oddReceivedAt: 0, oddAt: 0, told: 0 }
}

/**
 * Compares a device's clock with the agent's: has it jumped, and stayed so for a minute and five
 * readings? Neither a backlog nor a late message is that.
 *
 * @param at What the device's clock said, epoch ms, before anybody corrected it.
 */
export function lookAtClock(
  clock: DeviceClock,
  at: number,
  receivedAt: number
): Finding | undefined {
  const distance = at - receivedAt
  const off = distance - clock.usualMs
  if (Math.abs(off) <= TOLERANCE_MS) {
    clock.odd = 0
    clock.usual = Math.min(clock.usual + 1, FAMILIAR)
    clock.usualMs += Math.min(0.5, Math.max(USUAL_GAIN, 1 / clock.usual)) * off
    return undefined
  }
  const passedMs = receivedAt - clock.oddReceivedAt
  const inPace = Math.abs(at - clock.oddAt - passedMs) <= Math.max(PACE * passedMs, 1000)
  if (clock.odd === 0 || passedMs < 0 || (passedMs > 1000 && !inPace)) {
    Object.assign(clock, { odd: 1, oddReceivedAt: receivedAt, oddAt: at })
    return undefined
  }
  clock.odd = Math.min(clock.odd + 1, 1e6)
  if (clock.odd < ODD_READINGS || passedMs < ODD_MS || !inPace) return undefined
  if (clock.usual < FAMILIAR && distance < 0 && distance > -HABIT_MS_MAX) {
    Object.assign(clock, { usualMs: distance, usual: FAMILIAR, odd: 0 })
    return undefined
  }
  const side = off > 0 ? 'ahead of' : 'behind'
  const reason = `its clock is ${spanOf(Math.abs(off))} ${side} the agent's`
  return { kind: 'data_quality', ratio: Math.min(Math.abs(off) / TOLERANCE_MS, 5), reason }
}

function spanOf(ms: number): string {
  if (ms < 2 * 3_600_000) return `${Math.round(ms / 60_000)} min`
  return ms < 2 * 86_400_000
    ? `${Math.round(ms / 3_600_000)} h`
    : `${Math.round(ms / 86_400_000)} days`
}
