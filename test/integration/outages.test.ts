import { afterAll, beforeAll, expect, test } from 'vitest'
import { type OutageCase, runCase } from '../faults/outage-case.ts'
import { type Stage, startStage } from '../faults/stage.ts'
import { missingKafka } from '../kit/kafka.ts'

/** The most telling rows of the fault matrix; `npm run faults` has all of them. */

const missing = await missingKafka()
const AWAY = { awayMsMin: 4000, awayMsMax: 6000 }
const CASES: readonly [string, Omit<OutageCase, 'awayMsMin' | 'awayMsMax'>][] = [
  [
    'half open, at_least_once comes back by itself and repeats nothing',
    { kind: 'half open', mode: 'at_least_once', killed: 'neither', seed: 11 }
  ],
  [
    'exactly_once shows each reading once after a black hole in which the agent was killed',
    { kind: 'black hole', mode: 'exactly_once', killed: 'agent', seed: 12 }
  ],
  [
    'exactly_once shows each reading once after a flapping link in which the broker was killed',
    { kind: 'flapping', mode: 'exactly_once', killed: 'broker', seed: 13 }
  ],
  [
    'an agent starts and stores readings while no name resolves, and delivers them when they do',
    { kind: 'names', mode: 'at_least_once', killed: 'agent', seed: 14 }
  ]
]

let stage: Stage
beforeAll(async () => {
  if (!missing) stage = await startStage()
})
afterAll(() => stage?.remove())

for (const [sentence, spec] of CASES) {
  test.skipIf(missing)(`${sentence} (seed ${spec.seed})`, { timeout: 150_000 }, async () => {
    const { violations } = await runCase(stage, { ...spec, ...AWAY })
    expect(violations).toEqual([])
  })
}
