import { expect, test } from 'vitest'
import { simulate } from './simulate.ts'

const FIRST = Number(process.env.FIELDLINE_SEED ?? 1)
const SEEDS = 300

test(`no promise of the log is broken in ${SEEDS} simulated histories (first seed ${FIRST})`, async () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    expect(await simulate(seed)).toEqual([])
  }
}, 60_000)

test(`the same seed gives the same history (seed ${FIRST})`, async () => {
  expect(await simulate(FIRST)).toEqual(await simulate(FIRST))
})
