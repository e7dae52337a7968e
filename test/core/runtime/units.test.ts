import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import {
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration
} from '../../../core/runtime/units.ts'

test('durations are parsed to milliseconds', () => {
  const written = ['250ms', '10s', '5m', '2h', '7d', '1.5s', '0.1s', '0', 0, '0ms', ' 3 s ']
  const expected = [250, 10_000, 300_000, 7_200_000, 604_800_000, 1500, 100, 0, 0, 0, 3000]
  expect(written.map(parseDuration)).toEqual(expected)
})

test('sizes are parsed to bytes, decimal and binary units apart', () => {
  const written = ['4MiB', '1GB', '512KiB', '1kB', '17B', '1.5GiB', 0]
  const expected = [4_194_304, 1e9, 524_288, 1000, 17, 1_610_612_736, 0]
  expect(written.map(parseBytes)).toEqual(expected)
})

test.each([
  [parseDuration, 10, "a duration needs its unit (ms, s, m, h, d): write '10s'"],
  [parseDuration, '10', "a duration needs its unit (ms, s, m, h, d): write '10s'"],
  [parseDuration, '10S', "'S' is no unit of a duration; did you mean 's'?"],
  [parseDuration, '10 fortnights', "'fortnights' is no unit of a duration; use ms, s, m, h, d"],
  [parseDuration, '-1s', "'-1s' is not a duration: write it like '10s'"],
  [parseDuration, '0.5ms', "'0.5ms' is not a whole number of ms"],
  [parseDuration, true, "expected a duration like '10s'"],
  [parseDuration, null, "expected a duration like '10s'"],
  [parseDuration, '1 constructor', "'constructor' is no unit of a duration; use ms, s, m, h, d"],
  [parseBytes, 1024, 'a size needs its unit'],
  [parseBytes, '4mib', "'mib' is no unit of a size; did you mean 'MiB'?"],
  [parseBytes, '99999999TiB', 'is not a whole number of bytes']
])('%o refuses %j and says what to write', (parse, value, message) => {
  expect(() => parse(value)).toThrow(message)
  expect(() => parse(value)).toThrow(SyntaxError)
})

test('quantities are formatted in the largest unit that is exact', () => {
  expect([0, 1, 1500, 60_000, 90_000, 604_800_000].map(formatDuration)).toEqual([
    '0',
    '1ms',
    '1500ms',
    '1m',
    '90s',
    '7d'
  ])
  expect([1_048_576, 1e9, 1500, 1000, 1536].map(formatBytes)).toEqual([
    '1MiB',
    '1GB',
    '1500B',
    '1kB',
    '1536B'
  ])
})

const seed = 20_260_731

test(`a formatted quantity parses back to itself (seed ${seed})`, () => {
  const prng = new Prng(seed)
  for (let run = 0; run < 2000; run++) {
    const value = prng.int(1000) * prng.pick([1, 1000, 1024, 60_000, 1_048_576, 86_400_000])
    expect(parseDuration(formatDuration(value))).toBe(value)
    expect(parseBytes(formatBytes(value))).toBe(value)
  }
})
