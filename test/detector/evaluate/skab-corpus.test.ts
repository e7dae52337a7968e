import { existsSync } from 'node:fs'
import path from 'node:path'
import { quantileSorted } from 'simple-statistics'
import { expect, test } from 'vitest'
import { readSkab } from '../../../cli/evaluate/skab-files.ts'
import { packageRoot } from '../../../core/runtime/package-root.ts'
import { Prng } from '../../../core/runtime/prng.ts'
import {
  addCounts,
  countAlarms,
  figuresOf,
  judgeSkabFile,
  SKAB_TRAINING_ROWS,
  type SkabCounts,
  type SkabFile,
  skabPrior
} from '../../../detector/evaluate/skab.ts'
import { fitModel, scoresOf } from '../../../detector/train/innovation-model.ts'
import { priorPersistence, rehearse } from '../../../detector/train/rehearsal.ts'

const DATA = path.join(packageRoot(), '..', 'shared', 'data', 'skab')
const SPLITS = 40
const SEED = 6
/** What a search would try: the budget's share, and the memory of the average. */
const SHARES = [0.025, 0.05, 0.075, 0.1, 0.125, 0.15, 0.175, 0.2, 0.25, 0.3]
const SMOOTH_ROWS = [10, 15, 20, 25, 30]

function pooled(counts: readonly SkabCounts[]): { far: number; mar: number } {
  const { far, mar } = figuresOf(addCounts(counts))
  return { far: far ?? 0, mar: mar ?? 0 }
}

test.skipIf(!existsSync(DATA))('the development part is judged as documented', () => {
  const { free, files } = readSkab(DATA)
  const prior = skabPrior(free)
  const { far, mar } = pooled(files.map(file => judgeSkabFile(file, prior).counts))
  expect(far).toBeLessThan(10)
  expect(mar).toBeLessThan(18)
})

test.skipIf(!existsSync(DATA)).each([
  { searched: 'the threshold', memories: [20], sumMax: 29.5 },
  { searched: 'threshold and memory', memories: SMOOTH_ROWS, sumMax: 31 }
])(
  `$searched chosen on half of the files holds on the other half (${SPLITS} halvings, seed ${SEED})`,
  ({ searched, memories, sumMax }) => {
    const { free, files } = readSkab(DATA)
    const tables = candidates(free, files, memories)
    const figures = halvings(files.length).map(([chosenOn, judgedOn]) => {
      const judge = (table: SkabCounts[], on: number[]) => pooled(on.map(i => table[i]))
      const cost = (table: SkabCounts[]) => {
        const { far, mar } = judge(table, chosenOn)
        return far + mar
      }
      const costs = tables.map(cost)
      return judge(tables[costs.indexOf(Math.min(...costs))], judgedOn)
    })
    const mean = (of: readonly number[]) => of.reduce((a, b) => a + b, 0) / of.length
    const [far, mar] = [mean(figures.map(f => f.far)), mean(figures.map(f => f.mar))]
    process.stdout.write(
      `${searched}, ${tables.length} candidates: FAR ${far.toFixed(1)} MAR ${mar.toFixed(1)}\n`
    )
    expect(far + mar).toBeLessThan(sumMax)
    expect(Math.max(far, mar)).toBeLessThan(20.5)
  },
  60_000
)

/** @returns Pairs of halves, each way. */
function halvings(count: number): [chosenOn: number[], judgedOn: number[]][] {
  const prng = new Prng(SEED)
  return Array.from({ length: SPLITS }).flatMap((): [number[], number[]][] => {
    const keyed = Array.from({ length: count }, (_, i) => ({ i, key: prng.uint32() }))
    const order = keyed.sort((a, b) => a.key - b.key).map(({ i }) => i)
    const [a, b] = [order.slice(0, count >> 1), order.slice(count >> 1)]
    return [
      [a, b],
      [b, a]
    ]
  })
}

/** @returns Of each candidate: the counts of each file. */
function candidates(
  free: SkabFile,
  files: readonly SkabFile[],
  memories: readonly number[]
): SkabCounts[][] {
  const prior = skabPrior(free)
  const persistence = priorPersistence(prior)
  return memories.flatMap(smoothRows => {
    const first = { device: 'a', firstAt: 0, rows: files[0].rows.slice(0, SKAB_TRAINING_ROWS) }
    const history = { ...prior, stretches: [first] }
    const { runs } = rehearse(history, smoothRows, prior)
    const heldOut = runs.flatMap(run => [...run]).sort((a, b) => a - b)
    const scored = files.map(({ metrics, rows, labels }) => {
      const model = fitModel(metrics, [rows.slice(0, SKAB_TRAINING_ROWS)], smoothRows, persistence)
      const scores = scoresOf(model, rows)
      const full = new Float64Array(rows.length)
      full.set(
        scores.map(s => s / model.ordinary),
        rows.length - scores.length
      )
      return { labels, full }
    })
    return SHARES.map(share => {
      const line = quantileSorted(heldOut, 1 - share)
      return scored.map(({ labels, full }) =>
        countAlarms(
          labels,
          Uint8Array.from(full, s => (s >= line ? 1 : 0))
        )
      )
    })
  })
}
