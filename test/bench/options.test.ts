import { expect, test } from 'vitest'
import { parseOptions, scaled } from './options.ts'

test('a benchmark is named first, its sizes follow', () => {
  expect(parseOptions(['path', '--rounds', '3', '--scale', '0.1'])).toEqual({
    name: 'path',
    rounds: 3,
    scale: 0.1,
    minutes: undefined,
    profile: undefined
  })
  expect(parseOptions([])).toMatchObject({ name: undefined, rounds: undefined, scale: 1 })
  expect(parseOptions(['soak', '--minutes', '2'])).toMatchObject({ minutes: 2 })
})

test.each(['0', '-1', 'many'])('--rounds %s is refused', text => {
  expect(() => parseOptions([`--rounds=${text}`])).toThrow('--rounds must be a number above 0')
})

test('a scaled count is shared evenly by 50 devices', () => {
  const at = (scale: number) => ({ ...parseOptions([]), scale })
  expect(scaled(1_000_000, at(1))).toBe(1_000_000)
  expect(scaled(1_234, at(0.1))).toBe(100)
  expect(scaled(100, at(0.001))).toBe(50)
})
