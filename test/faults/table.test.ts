import { expect, test } from 'vitest'
import { judgeDelivery } from '../../cli/demo/judge.ts'
import type { OutageCase } from './outage-case.ts'
import { headLine, resultLine, summaryLine, type TableRow } from './table.ts'

const SPEC: OutageCase = {
  ...{ kind: 'black hole', mode: 'exactly_once', killed: 'agent' },
  ...{ seed: 1, awayMsMin: 1000, awayMsMax: 2000 }
}

function rowOf(spec: Partial<OutageCase>, recoveryMs: number, ids: string[]): TableRow {
  const readings = ids.map(id => ({ key: 'plant1/a', sequence: 1, id, dup: false }))
  const verdict = judgeDelivery({ 'plant1/a': 2 }, readings)
  const result = { verdict, recoveryMs, awayMs: 1500, violations: ['1 lost'] }
  return { spec: { ...SPEC, ...spec }, result }
}

test('a row of the table has its counts under their names, and a mark when a promise is broken', () => {
  const cells = resultLine(rowOf({}, 940, ['x', 'x'])).split(/\s{2,}/)
  expect(cells).toEqual('black hole|exactly_once|agent|1.5|2|1|0|1|0|0.9|✗'.split('|'))
  expect(headLine().split(/\s{2,}/)).toHaveLength(cells.length - 1)
})

test('the last line sums up and names the slowest recovery of each kind', () => {
  const rows = [
    rowOf({}, 900, ['x', 'x']),
    rowOf({}, 8100, ['x']),
    rowOf({ kind: 'refused', mode: 'at_least_once' }, Number.POSITIVE_INFINITY, ['x', 'x', 'x']),
    { spec: SPEC, error: 'it did not start' }
  ]
  expect(summaryLine(rows, 90_000)).toBe(
    '4 cases: lost 3, reordered 0, duplicates in exactly_once 1 (at_least_once: 2); slowest recovery refused never, black hole 8.1 s; 1 did not come to their end, 4 violated; 1.5 min'
  )
})
