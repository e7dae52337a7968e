import { expect, test } from 'vitest'
import { Prng } from '../../../core/runtime/prng.ts'
import { ar1Signal } from '../kit.ts'
import { DAY, runSeries, take } from './kit.ts'

const SEED = 20
const WEEKS = 4 * 7 * 1440

type Signal = (prng: Prng) => (i: number) => number
const SIGNALS: Readonly<Record<string, Signal>> = {
  constant: () => () => 21.5,
  'constant but for a step a week': () => i => 20 + Math.floor(i / (7 * 1440)),
  'white noise': prng => ar1Signal(prng, {}),
  'correlated noise in steps of σ/2': prng => ar1Signal(prng, { phi: 0.95, step: 0.5 }),
  'correlated noise in steps of 2 σ': prng => ar1Signal(prng, { phi: 0.97, step: 2 }),
  'a slow thermometer in steps of 3 σ': prng => ar1Signal(prng, { phi: 0.995, step: 3, swing: 8 }),
  'a daily shape': prng => ar1Signal(prng, { phi: 0.5, swing: 10 }),
  'a daily shape in steps of a σ': prng => ar1Signal(prng, { phi: 0.9, swing: 10, step: 1 }),
  'counts, mostly 0': prng => () => (prng.chance(0.02) ? 1 + prng.int(5) : 0),
  'Cauchy noise': prng => () => Math.tan(Math.PI * (prng.float() - 0.5)),
  'log-normal, in whole numbers': prng => () => Math.round(Math.exp(2 * prng.normal())),
  'off at night and at the weekend': prng => i => {
    const hour = (i / 60) % 24
    const weekday = Math.floor(i / 1440) % 7 < 5
    return weekday && hour >= 6 && hour < 20 ? 40 + prng.normal() : 0
  },
  'on and off by the hour': prng => {
    let on = false
    return () => {
      if (prng.chance(1 / 40)) on = !on
      return on ? 1 : 0
    }
  },
  'a setpoint': prng => {
    let setpoint = 20
    return () => {
      if (prng.chance(1 / 400)) setpoint = 18 + prng.int(6)
      return setpoint
    }
  },
  'a level that is pumped out again': () => i => (i % 500) / 10
}

test.each(Object.entries(SIGNALS))(
  `nothing is said of four weeks of %s (seed ${SEED})`,
  (_, signal) => {
    for (let round = 0; round < 5; round++) {
      const { found } = runSeries(take(WEEKS, signal(new Prng(SEED + round))))
      expect(found.slice(0, 3)).toEqual([])
    }
  }
)

test(`nothing is said of two days of a reading a second (seed ${SEED})`, () => {
  const signal = ar1Signal(new Prng(SEED), { phi: 0.99, step: 0.5 })
  const { found } = runSeries(take((2 * DAY) / 1000, signal), {
    intervalMs: 1000,
    config: { learn: '1h' }
  })
  expect(found.slice(0, 3)).toEqual([])
})
