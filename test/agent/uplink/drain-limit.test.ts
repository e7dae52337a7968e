import { expect, test } from 'vitest'
import { DrainLimit } from '../../../agent/uplink/drain-limit.ts'

function clockAt(start: number) {
  return {
    at: start,
    now: () => 0,
    monotonic() {
      return this.at
    }
  }
}

/** Sends batches of `records` of `bytes` each, waiting as told. @returns Records sent in `ms`. */
function sentWithin(limit: DrainLimit, clock: { at: number }, ms: number, bytes: number): number {
  const end = clock.at + ms
  let sent = 0
  for (;;) {
    clock.at += limit.waitMs
    if (clock.at >= end) return sent
    const records = Math.min(
      500,
      limit.slice.records,
      Math.max(1, Math.floor(limit.slice.bytes / bytes))
    )
    limit.spend(records, records * bytes)
    sent += records
  }
}

test.each([
  [{ records: 2_000, bytes: null }, 100, 2_000],
  [{ records: null, bytes: 50_000 }, 100, 500],
  [{ records: 2_000, bytes: 50_000 }, 100, 500],
  [{ records: 100, bytes: 50_000 }, 100, 100],
  [{ records: 1, bytes: null }, 100, 1]
])('a backlog leaves at %j: records of %i B, %i a second', (rate, bytes, perSecond) => {
  const clock = clockAt(5_000)
  const sent = sentWithin(new DrainLimit(rate, clock), clock, 60_000, bytes)
  expect(sent / 60).toBeGreaterThan(perSecond * 0.99)
  expect(sent / 60).toBeLessThan(perSecond * 1.01 + 0.05)
})

test('a record larger than a second’s worth passes, and is paid for afterwards', () => {
  const clock = clockAt(0)
  const limit = new DrainLimit({ records: null, bytes: 1_000 }, clock)
  expect(limit.waitMs).toBe(0)
  limit.spend(1, 5_000)
  expect(limit.waitMs).toBe(5_000)
})

test('a pause saves nothing up: afterwards it is no faster', () => {
  const clock = clockAt(0)
  const limit = new DrainLimit({ records: 1_000, bytes: null }, clock)
  limit.spend(250, 0)
  clock.at += 60_000
  limit.spend(250, 0)
  expect(limit.waitMs).toBe(250)
})

test('without a limit there is nothing to wait for', () => {
  const limit = new DrainLimit({ records: null, bytes: null }, clockAt(0))
  limit.spend(1_000_000, 1_000_000)
  expect([limit.isUnlimited, limit.waitMs, limit.slice.records]).toEqual([
    true,
    0,
    Number.POSITIVE_INFINITY
  ])
})
