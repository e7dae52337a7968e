import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { readNab, readProfiles, writeNab } from '../../cli/evaluate/nab-files.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli',
  'main.js'
)
const NAME = 'realPumps/pump.csv'

function stamp(row: number): string {
  const at = Date.UTC(2026, 10, 1) + row * 300_000
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ')
}

/** A file with a shift in rows 900 to 1000, its window, and NAB's profiles. */
function fixture(lines?: string[]) {
  const directory = temporaryDirectory()
  const data = path.join(directory, 'data')
  fs.mkdirSync(path.join(data, 'realPumps'), { recursive: true })
  const prng = new Prng(1)
  const rows = Array.from({ length: 1500 }, (_, row) => {
    const value = 50 + prng.normal() + (row >= 900 && row < 1000 ? 12 : 0)
    return `${stamp(row)},${value}`
  })
  const text = ['timestamp,value', ...(lines ?? rows)].join('\n')
  fs.writeFileSync(path.join(data, NAME), `${text}\n`)
  const windows = path.join(directory, 'windows.json')
  const edge = (row: number) => `${stamp(row)}.000000`
  fs.writeFileSync(windows, JSON.stringify({ [NAME]: [[edge(895), edge(994)]], 'x/y.csv': [] }))
  const profiles = path.join(directory, 'profiles.json')
  const costs = (fn: number, fp: number) => ({
    CostMatrix: { tpWeight: 1, fnWeight: fn, fpWeight: fp, tnWeight: 1 }
  })
  fs.writeFileSync(
    profiles,
    JSON.stringify({ standard: costs(1, 0.11), reward_low_FP_rate: costs(1, 0.22) })
  )
  return { directory, data, windows, profiles }
}

function evaluate(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, 'evaluate', 'nab', ...args], { encoding: 'utf8' })
}

test('the command runs the product over the data, prints a table, and writes results', () => {
  const { directory, data, windows, profiles } = fixture()
  const out = path.join(directory, 'out')
  const base = ['--data', data, '--windows', windows, '--profiles', profiles, '--out', out]
  const table = evaluate(...base)
  expect(table.stderr).toBe('')
  expect(table.status).toBe(0)
  expect(table.stdout).toMatch(/^1 files, 1500 rows\n/)
  expect(table.stdout).toContain('* auto, normal')
  expect(table.stdout).toContain('every 600 rows')

  const { chosen, reports } = JSON.parse(evaluate(...base, '--json', '--sensitivity', 'low').stdout)
  expect(chosen).toBe('auto, low')
  const low = reports.find((r: { detector: string }) => r.detector === chosen)
  expect(low).toMatchObject({ windows: 1, windowsFound: 1, falseEpisodes: 0 })
  expect(low.profiles[0].score).toBeGreaterThan(90)

  const lines = fs.readFileSync(path.join(out, NAME), 'utf8').trim().split('\n')
  expect(lines[0]).toBe('timestamp,value,anomaly_score')
  expect(lines.length).toBe(1501)
  const alerts = lines.slice(1).flatMap((l, row) => (l.endsWith(',0') ? [] : [row]))
  expect(alerts.length).toBeLessThanOrEqual(2)
  expect(alerts[0]).toBeGreaterThanOrEqual(900)
  expect(alerts[0]).toBeLessThan(915)
})

test('what is read is what was written: duplicates, fractions and missing values', () => {
  const { directory, data, windows } = fixture([
    `${stamp(0)},1.5`,
    `${stamp(1)}.000000,`,
    `${stamp(895)},3`,
    `${stamp(895)},4`,
    `${stamp(994)},NaN`,
    `${stamp(995)},1e3`
  ])
  const [series] = readNab(data, windows)
  expect([...series.values]).toEqual([1.5, Number.NaN, 3, 4, Number.NaN, 1000])
  // The first of two rows with one timestamp.
  expect(series.windows).toEqual([[2, 4]])
  expect(series.at[1] - series.at[0]).toBe(300_000)
  writeNab(path.join(directory, 'out'), [{ series, scores: Float64Array.of(0, 0, 0.5, 0, 0, 1) }])
  expect(
    fs
      .readFileSync(path.join(directory, 'out', NAME), 'utf8')
      .split('\n')
      .slice(1, 4)
  ).toEqual([`${stamp(0)},1.5,0`, `${stamp(1)},,0`, `${stamp(895)},3,0.5`])
})

test.each<[string, string[], RegExp]>([
  ['a row without a number of columns', [stamp(0)], /pump\.csv' line 2: expected YYYY/],
  ['a timestamp of another form', ['1.11.2026,5'], /pump\.csv' line 2/],
  ['no rows', [], /has no rows/],
  ['a window that is no row', [`${stamp(0)},1`], /has no row at "2026-11-04 02:35:00/]
])('odd data is refused with file and line: %s', (_, lines, message) => {
  const { data, windows } = fixture(lines)
  expect(() => readNab(data, windows)).toThrow(message)
})

test('missing and odd inputs are named', () => {
  const { directory, data, windows, profiles } = fixture()
  expect(() => readNab(path.join(directory, 'none'), windows)).toThrow(/none' cannot be read/)
  expect(() => readNab(path.join(data, 'realPumps'), windows)).toThrow(/holds no <category>/)
  expect(() => readNab(data, profiles)).toThrow(/has no entry for 'realPumps\/pump\.csv'/)
  expect(() => readProfiles(windows)).toThrow(/has no number CostMatrix\.tpWeight/)
  fs.writeFileSync(windows, '{')
  expect(() => readNab(data, windows)).toThrow(/windows\.json' is no JSON/)
  fs.writeFileSync(windows, JSON.stringify({ [NAME]: [[stamp(9), stamp(5)]] }))
  expect(() => readNab(data, windows)).toThrow(/ends before it begins/)
  fs.writeFileSync(windows, JSON.stringify({ [NAME]: [stamp(9)] }))
  expect(() => readNab(data, windows)).toThrow(/no pair of timestamps/)
  const { status, stderr } = evaluate('--data', data, '--windows', 'none', '--profiles', profiles)
  expect(status).toBe(1)
  expect(stderr).toMatch(/^fieldline: 'none' cannot be read/)
  expect(evaluate('--data', data).status).toBe(2)
  expect(evaluate('--data', data, '--sensitivity', 'loud').stderr).toContain('low, normal, high')
})
