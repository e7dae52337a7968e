import { expect, test } from 'vitest'
import { lookAtClock, newClock } from '../../../detector/quality/device-clock.ts'
import { T0 } from '../kit.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A reading every ten seconds; `distance` from its number to how far the device's time is off. */
function run(count: number, distance: (i: number) => number | undefined): string[] {
  const clock = newClock()
  const reasons: string[] = []
  for (let i = 0; i < count; i++) {
    const off = distance(i)
    if (off === undefined) continue
    const receivedAt = T0 + i * 10_000
    const finding = lookAtClock(clock, receivedAt + off, receivedAt)
    if (finding) reasons.push(`${i}: ${finding.reason}`)
  }
  return reasons
}

test('a clock that jumps ahead is told after a minute', () => {
  const reasons = run(40, i => (i < 30 ? -200 : 5 * MINUTE))
  expect(reasons[0]).toBe("36: its clock is 5 min ahead of the agent's")
  expect(reasons).toHaveLength(4)
})

test('a clock that begins anew in 1970 is told', () => {
  const reasons = run(60, i => (i < 30 ? 0 : -T0))
  expect(reasons[0]).toMatch(/^36: its clock is \d{5} days behind/)
})

test('a backlog, sent later and faster, is no wrong clock', () => {
  expect(run(300, i => (i < 100 ? 0 : i < 200 ? -(200 - i) * 30_000 : 0))).toEqual([])
})

test('a late message, or four, are no wrong clock', () => {
  expect(run(300, i => (i % 10 < 4 ? -10 * MINUTE : 0))).toEqual([])
})

test('a device that names intervals for their start has that habit, and a right clock', () => {
  expect(run(300, () => -15 * MINUTE)).toEqual([])
  const jumps = run(300, i => (i < 200 ? -15 * MINUTE : -3 * HOUR))
  expect(jumps[0]).toMatch(/^206: its clock is 3 h behind|^206: its clock is 165 min behind/)
})

test('a slow drift of the clock is told when it is a minute, no sooner', () => {
  expect(run(5000, i => Math.min(50_000, 10 * i))).toEqual([])
})

test('a wrong time zone is told from the beginning', () => {
  expect(run(20, () => -5 * HOUR)[0]).toBe("6: its clock is 5 h behind the agent's")
})
