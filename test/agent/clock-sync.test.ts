import { expect, test } from 'vitest'
import { ClockSync } from '../../agent/clock-sync.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'

const FLOOR = 1_790_000_000_000
const BOOT = 77n

function clockAt(wall: number) {
  const time = { wall, monotonic: 10_000.5 }
  const marks: ClockMark[] = []
  const sync = new ClockSync({
    clock: { now: () => time.wall, monotonic: () => time.monotonic },
    bootId: BOOT,
    floorAt: FLOOR,
    onMark: mark => marks.push(mark)
  })
  const pass = (ms: number) => {
    time.wall += ms
    time.monotonic += ms
  }
  return { time, marks, sync, pass }
}

test('a clock not before the floor is believed, without a mark', () => {
  const { sync, marks } = clockAt(FLOOR)
  expect(sync.stamp()).toEqual({ receivedAt: FLOOR, monotonicMs: 10_000, clockUnsynced: false })
  expect(marks).toEqual([])
  expect(sync.markOf(BOOT)).toBeUndefined()
})

test('a clock before the floor is not believed until it is set; then one mark says when', () => {
  const { time, sync, marks, pass } = clockAt(1_000)
  expect(sync.stamp()).toMatchObject({ receivedAt: 1_000, clockUnsynced: true })
  pass(5_000)
  time.wall = FLOOR + 1
  expect(sync.stamp()).toMatchObject({ receivedAt: FLOOR + 1, clockUnsynced: false })
  expect(marks).toEqual([{ bootId: BOOT, wallAt: FLOOR + 1, monotonicMs: 15_000 }])
  expect(sync.markOf(BOOT)).toEqual(marks[0])
  expect(sync.markOf(BOOT + 1n)).toBeUndefined()
  sync.stamp()
  sync.check()
  expect(marks).toHaveLength(1)
})

test('a believed clock that is set gives a mark; drift below a second gives none', () => {
  const { time, sync, marks, pass } = clockAt(FLOOR)
  pass(60_000)
  time.wall += 999
  sync.check()
  expect(marks).toEqual([])
  time.wall += 5_000
  sync.check()
  expect(marks).toEqual([{ bootId: BOOT, wallAt: time.wall, monotonicMs: 70_000 }])
})

test('a clock set back before the floor is not believed any more, and gives no mark', () => {
  const { time, sync, marks } = clockAt(FLOOR + 10)
  time.wall = -5
  expect(sync.stamp()).toEqual({ receivedAt: 0, monotonicMs: 10_000, clockUnsynced: true })
  expect(marks).toEqual([])
})

test('crossing the floor by the passing of time is noticed at the next check', () => {
  const { sync, marks, pass } = clockAt(FLOOR - 100)
  pass(200)
  sync.check()
  expect(sync.stamp().clockUnsynced).toBe(false)
  expect(marks).toHaveLength(1)
})
