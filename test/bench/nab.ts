import { existsSync } from 'node:fs'
import path from 'node:path'
import { readNab, readProfiles } from '../../cli/evaluate/nab-files.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { detectorSchema } from '../../detector/config.ts'
import type { NabProfile } from '../../detector/evaluate/nab.ts'
import { nabScore, sum } from '../../detector/evaluate/nab.ts'
import { nabReport } from '../../detector/evaluate/nab-report.ts'
import { replaySeries } from '../../detector/evaluate/replay-series.ts'
import {
  type Candidate,
  Corpus,
  type CrossScore,
  candidate,
  crossValidate,
  halves,
  type Options,
  THRESHOLDS
} from './nab-search.ts'

const SEED = 20_261_122
const SPLITS = 20

/** What the rest of the grid and of the table is compared with: scorer `auto`'s rows. */
const AUTO: Options = {
  ...{ forecasts: ['blend by visit'], level: true, rows: 10, scale: 'root' },
  ...{ calibration: 'tail', transform: 'none', combine: 'power', decision: 'habituation' }
}

/** From the simplest to `auto`, and `auto` with one thing changed. */
const ABLATION: Readonly<Record<string, Partial<Options>>> = {
  'one profile of 24, likelihood, fixed rest': {
    ...{ forecasts: ['day24'], level: false, scale: 'deviation', calibration: 'likelihood' },
    decision: 'fixed rest'
  },
  'one of 48, likelihood': {
    ...{ forecasts: ['day48'], level: false, scale: 'deviation', calibration: 'likelihood' }
  },
  'one of 48, tail': { forecasts: ['day48'], level: false, scale: 'deviation' },
  'level only, tail': { forecasts: [], scale: 'deviation' },
  '48 and level, mean': { forecasts: ['day48'], scale: 'deviation', combine: 'mean' },
  '24, 48 and level, mean': {
    ...{ forecasts: ['day24', 'day48'], scale: 'deviation', combine: 'mean' }
  },
  '… max': { forecasts: ['day24', 'day48'], scale: 'deviation', combine: 'max' },
  '… likelihood': {
    ...{ forecasts: ['day24', 'day48'], scale: 'deviation', combine: 'mean' },
    calibration: 'likelihood'
  },
  '… no rest': {
    ...{ forecasts: ['day24', 'day48'], scale: 'deviation', combine: 'mean', decision: 'none' }
  },
  '… and hour of week': {
    ...{ forecasts: ['day24', 'day48', 'week168'], scale: 'deviation', combine: 'mean' }
  },
  '… and difference': {
    ...{ forecasts: ['day24', 'day48', 'last'], scale: 'deviation', combine: 'mean' }
  },
  '… of sqrt(value)': {
    ...{ forecasts: ['day24', 'day48'], scale: 'deviation', combine: 'mean', transform: 'sqrt' }
  },
  '… root scale': { forecasts: ['day24', 'day48'], combine: 'mean' },
  'blend and level, mean, deviation': {
    ...{ forecasts: ['blend'], scale: 'deviation', combine: 'mean' }
  },
  'blend and level, mean, root scale': { forecasts: ['blend'], combine: 'mean' },
  'auto (blend by visit, power mean)': {},
  'auto, mean': { combine: 'mean' },
  'auto, max': { combine: 'max' },
  'auto, likelihood': { calibration: 'likelihood' },
  'auto, deviation': { scale: 'deviation' },
  'auto, fixed rest': { decision: 'fixed rest' },
  'auto, no rest': { decision: 'none' },
  'auto, 5 rows': { rows: 5 },
  'auto, 20 rows': { rows: 20 },
  'auto, of sqrt(value)': { transform: 'sqrt' },
  'auto without level': { level: false },
  'auto and difference': { forecasts: ['blend by visit', 'last'] }
}

/** Every row of the table, and all combinations around the better structures. */
export function grid(): Candidate[] {
  const all = new Map<string, Candidate>()
  const add = (options: Partial<Options>): void => {
    const one = candidate({ ...AUTO, ...options })
    all.set(one.name, one)
  }
  for (const options of Object.values(ABLATION)) add(options)
  const structures: Options['forecasts'][] = [
    ['day48'],
    ['day24', 'day48'],
    ['day48', 'week168'],
    ['blend'],
    ['blend by visit']
  ]
  for (const forecasts of structures) {
    for (const scale of ['deviation', 'root'] as const) {
      for (const rows of [7, 10, 14]) {
        for (const combine of ['mean', 'power', 'max'] as const) {
          for (const decision of ['habituation', 'fixed rest'] as const) {
            add({ forecasts, scale, rows, combine, decision })
          }
        }
      }
    }
  }
  return [...all.values()]
}

/**
 * What a search that knows only some of the files finds for the others, on NAB's development half
 * in `../shared/data/nab` (or where NAB_DATA says): two halves, and one category left out.
 */
export async function benchNab(): Promise<unknown> {
  const data = process.env.NAB_DATA ?? path.join(packageRoot(), '..', 'shared', 'data', 'nab')
  if (!existsSync(data)) return { benchmark: 'nab', skipped: `no data in ${data}` }
  const files = readNab(path.join(data, 'data'), path.join(data, 'windows.json'))
  const profiles = readProfiles(path.join(data, 'profiles.json'))
  const [standard] = profiles
  const corpus = new Corpus(files)
  const candidates = grid()
  const started = performance.now()
  const tallies = candidates.map(c => corpus.tallies(c))
  const splits = halves(files.length, SPLITS, SEED)
  const twoFold = crossValidate(tallies, splits, standard, SEED)
  const categories = byCategory(files.map(({ name }) => name))
  const leftOut = crossValidate(tallies, categories, standard, SEED)
  const table = Object.entries(ABLATION).map(([name, options]) => {
    const of = corpus.tallies(candidate({ ...AUTO, ...options }))
    return { name, ...inSample(of, standard), ...cross(of, splits, standard) }
  })
  const judged = []
  const config = detectorSchema.parse({ sensitivity: 'high' })
  for (const series of files) judged.push(await replaySeries(config, series))
  printTable(table)
  return {
    benchmark: 'nab',
    ...{ seed: SEED, files: files.length, gridSize: candidates.length },
    thresholds: THRESHOLDS.length,
    seconds: Math.round((performance.now() - started) / 1000),
    twoFold: { splits: SPLITS, ...described(twoFold, candidates) },
    categoryLeftOut: described(leftOut, candidates),
    product: nabReport('auto, high', profiles, judged),
    ablation: table
  }
}

function described({ mean, pooled, winners }: CrossScore, grid: Candidate[]) {
  const named = [...winners].map(([index, times]) => ({ times, name: grid[index].name }))
  return {
    mean: rounded(mean),
    pooled: rounded(pooled),
    winners: named.sort((a, b) => b.times - a.times)
  }
}

function byCategory(names: readonly string[]): [number[], number[]][] {
  const categories = [...new Set(names.map(name => name.split('/')[0]))]
  const of = (inside: boolean, category: string): number[] =>
    [...names.keys()].filter(i => names[i].startsWith(`${category}/`) === inside)
  return categories.map(category => [of(false, category), of(true, category)])
}

type Tallies = ReturnType<Corpus['tallies']>

function inSample(tallies: Tallies, profile: NabProfile) {
  const scores = tallies.map(byFile => nabScore(profile, sum(byFile)))
  const best = scores.indexOf(Math.max(...scores))
  const { found, falseRows } = sum(tallies[best])
  const threshold = rounded(THRESHOLDS[best])
  return { standard: rounded(scores[best]), threshold, found, falseRows }
}

/** Only the threshold is chosen on the other half. */
function cross(tallies: Tallies, splits: [number[], number[]][], profile: NabProfile) {
  return { thresholdCrossed: rounded(crossValidate([tallies], splits, profile, SEED).mean) }
}

function printTable(table: readonly Record<string, string | number>[]): void {
  for (const row of table) {
    const { name, standard, thresholdCrossed, found, falseRows } = row
    const figures = [standard, thresholdCrossed, found, falseRows]
    const text = figures.map(figure => String(figure).padStart(6)).join(' ')
    process.stderr.write(`${String(name).padEnd(44)} ${text}\n`)
  }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}
