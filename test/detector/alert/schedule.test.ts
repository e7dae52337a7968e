import { expect, test } from 'vitest'
import { Schedule, type ScheduleRule } from '../../../detector/alert/schedule.ts'

const HOUR = 3_600_000

function scheduleOf(from: string, to: string, zone: string, days: number[] = []): Schedule {
  const minute = (wall: string) => Number(wall.slice(0, 2)) * 60 + Number(wall.slice(3))
  const rule: ScheduleRule = { days, fromMinute: minute(from), toMinute: minute(to), zone }
  return new Schedule(rule)
}

/** Hours and minutes of UTC at which the schedule changes within a day. */
function changes(schedule: Schedule, day: string): string[] {
  const start = Date.parse(`${day}T00:00:00Z`)
  const found: string[] = []
  let was = schedule.spanAt(start).on
  if (was) found.push('on')
  for (let at = start; at < start + 24 * HOUR; at += 60_000) {
    const { on } = schedule.spanAt(at)
    if (on === was) continue
    found.push(`${on ? 'on' : 'off'} ${new Date(at).toISOString().slice(11, 16)}`)
    was = on
  }
  return found
}

test('a window is on by the wall clock of its zone, in winter and in summer', () => {
  const nights = scheduleOf('08:00', '16:30', 'Europe/Berlin')
  expect(changes(nights, '2026-01-15')).toEqual(['on 07:00', 'off 15:30'])
  expect(changes(nights, '2026-07-15')).toEqual(['on 06:00', 'off 14:30'])
})

test('a window over midnight belongs to the day on which it begins', () => {
  // 2026-11-27 is a Friday.
  const friday = scheduleOf('22:00', '06:00', 'UTC', [5])
  expect(changes(friday, '2026-11-27')).toEqual(['on 22:00'])
  expect(changes(friday, '2026-11-28')).toEqual(['on', 'off 06:00'])
  expect(changes(friday, '2026-11-29')).toEqual([])
})

test('where the clock is put forward, a window shrinks by the hour that is missing', () => {
  const day = '2026-03-29'
  // 02:00 CET becomes 03:00 CEST at 01:00 UTC.
  expect(changes(scheduleOf('01:30', '02:30', 'Europe/Berlin', [0]), day)).toEqual([
    'on 00:30',
    'off 01:00'
  ])
  expect(changes(scheduleOf('02:30', '04:00', 'Europe/Berlin'), day)).toEqual([
    'on 01:00',
    'off 02:00'
  ])
  expect(changes(scheduleOf('02:00', '03:00', 'Europe/Berlin'), day)).toEqual([])
  expect(changes(scheduleOf('00:00', '24:00', 'Europe/Berlin', [0]), day)).toEqual([
    'on',
    'off 22:00'
  ])
})

test('where the clock is put back, a window holds both of the hours that look alike', () => {
  const day = '2026-10-25'
  // 03:00 CEST becomes 02:00 CET at 01:00 UTC.
  expect(changes(scheduleOf('02:00', '03:00', 'Europe/Berlin'), day)).toEqual(['on', 'off 02:00'])
  expect(changes(scheduleOf('01:30', '02:30', 'Europe/Berlin'), day)).toEqual(['on', 'off 01:30'])
})

test('zones of half hours and of the other hemisphere are right, too', () => {
  expect(changes(scheduleOf('08:00', '09:00', 'Asia/Kolkata'), '2026-06-01')).toEqual([
    'on 02:30',
    'off 03:30'
  ])
  // Lord Howe Island moves its clock by half an hour, in October from +10:30 to +11:00.
  expect(changes(scheduleOf('08:00', '09:00', 'Australia/Lord_Howe'), '2026-09-20')).toEqual([
    'on 21:30',
    'off 22:30'
  ])
  expect(changes(scheduleOf('08:00', '09:00', 'Australia/Lord_Howe'), '2026-10-20')).toEqual([
    'on 21:00',
    'off 22:00'
  ])
})

test('days that follow each other are one window, and the answer is the same in any order', () => {
  const weekend = scheduleOf('00:00', '24:00', 'America/New_York', [6, 0])
  const from = Date.parse('2026-10-31T04:00:00Z')
  // Saturday and Sunday, with the hour that the change of 1 November adds.
  const end = Date.parse('2026-11-02T05:00:00Z')
  const instants = Array.from({ length: 400 }, (_, i) => from - 100 * HOUR + i * HOUR)
  const shuffled = instants.map((_, i) => instants[(i * 149) % instants.length])
  for (const at of shuffled) {
    expect(weekend.spanAt(at).on, new Date(at).toISOString()).toBe(
      isIn(at, from, end) ||
        isIn(at, from - 7 * 24 * HOUR, end - 7 * 24 * HOUR - HOUR) ||
        isIn(at, from + 7 * 24 * HOUR + HOUR, end + 7 * 24 * HOUR)
    )
  }
})

test('a span holds what it says for every instant in it', () => {
  const schedule = scheduleOf('22:15', '05:45', 'Europe/Berlin', [1, 3, 5])
  for (let at = Date.parse('2026-03-20T00:07:00Z'); at < Date.parse('2026-04-05'); ) {
    const span = schedule.spanAt(at)
    expect(span.from).toBeLessThanOrEqual(at)
    expect(span.end).toBeGreaterThan(at)
    const fresh = scheduleOf('22:15', '05:45', 'Europe/Berlin', [1, 3, 5])
    for (const inside of [span.from, at, (at + span.end) / 2, span.end - 1]) {
      expect(fresh.spanAt(inside).on).toBe(span.on)
    }
    at = span.end
  }
})

test('instants at the ends of time are answered', () => {
  const schedule = scheduleOf('00:00', '24:00', 'UTC')
  for (const at of [-8.64e15, 8.64e15]) expect(schedule.spanAt(at).on).toBe(false)
  expect(schedule.spanAt(0).on).toBe(true)
})

function isIn(at: number, from: number, end: number): boolean {
  return at >= from && at < end
}
