import {
  addCounts,
  figuresOf,
  SKAB_TRAINING_ROWS,
  type SkabCounts,
  type SkabResult
} from '../../detector/evaluate/skab.ts'
import { table } from '../log/text.ts'

const COLUMNS = ['', 'FAR %', 'MAR %', 'F1', 'rows', 'anomalous']

/** A table for people: one line a file, and all of them pooled. */
export function skabText(results: readonly SkabResult[], budget: string): string {
  const lines = table(
    COLUMNS.map((title, i) => ({ title, right: i > 0 })),
    [
      ...results.map(({ file, counts }) => cells(`  ${file.name}`, counts)),
      cells('* pooled', addCounts(results.map(r => r.counts)))
    ]
  )
  return `${lines.join('\n')}

The first ${SKAB_TRAINING_ROWS} rows of each file are learned and not judged. Threshold: ${budget} of
the rows in alarm when trainings of this length on the anomaly-free recording are judged on what
followed them. FAR: ordinary rows in alarm; MAR: anomalous rows without one.
`
}

function cells(name: string, counts: SkabCounts): string[] {
  const { far, mar, f1 } = figuresOf(counts)
  const figures = [far?.toFixed(1), mar?.toFixed(1), f1?.toFixed(2)].map(f => f ?? '-')
  return [name, ...figures, `${counts.rows}`, `${counts.anomalous}`]
}

export function skabJson(results: readonly SkabResult[], budget: string): object {
  const pooled = addCounts(results.map(r => r.counts))
  return {
    budget,
    files: results.map(({ file, threshold, counts }) => ({
      ...{ file: file.name, threshold, ...counts },
      ...figuresOf(counts)
    })),
    pooled: { ...pooled, ...figuresOf(pooled) }
  }
}
