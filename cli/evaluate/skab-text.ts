import {
  addCounts,
  figuresOf,
  SKAB_TRAINING_ROWS,
  type SkabCounts,
  type SkabResult
} from '../../detector/evaluate/skab.ts'

/** A table for people: one line a file, and all of them pooled. */
export function skabText(results: readonly SkabResult[], budget: string): string {
  const lines = [
    ['', 'FAR %', 'MAR %', 'F1', 'rows', 'anomalous'],
    ...results.map(({ file, counts }) => cells(`  ${file.name}`, counts)),
    cells('* pooled', addCounts(results.map(r => r.counts)))
  ]
  const widths = lines[0].map((_, i) => Math.max(...lines.map(line => line[i].length)))
  const table = lines.map(line =>
    line.map((c, i) => (i === 0 ? c.padEnd(widths[i]) : c.padStart(widths[i]))).join('  ')
  )
  return `${table.join('\n')}

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
