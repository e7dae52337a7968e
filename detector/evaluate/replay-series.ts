import { silentLogger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../config.ts'
import { Detector, type DetectorReading } from '../detector.ts'
import { Welford } from '../stats/welford.ts'
import type { JudgedSeries, LabelledSeries } from './nab-report.ts'

/**
 * Runs the whole engine – scorer, decision, lifecycle – over a series, as if it came from a device.
 *
 * @returns The score of each row on which an anomaly is raised, else 0.
 */
export async function replaySeries(
  config: DetectorConfig,
  series: LabelledSeries
): Promise<JudgedSeries> {
  const silent = { ...config.silent, enabled: false }
  const detector = new Detector(
    { ...config, silent, models: [] },
    { source: '/fieldline/evaluate', logger: silentLogger, models: [] }
  )
  const scores = new Float64Array(series.rows)
  const readings: DetectorReading[] = []
  for (let row = 0; row < series.rows; row++) readings.push(readingOf(series, row))
  for (const { reading, events } of await detector.process(readings)) {
    for (const { data } of events) {
      if (data.state === 'raised' && data.kind === 'anomaly') scores[reading.offset] = data.score
    }
  }
  return { series, scores }
}

function readingOf({ name, at, values }: LabelledSeries, row: number): DetectorReading {
  return {
    ...{ epoch: '1-0000000000000000', offset: row, agentId: 'evaluate', eventId: `${name}/${row}` },
    ...{ site: 'evaluate', device: name, at: at[row], receivedAt: at[row] },
    values: Number.isFinite(values[row]) ? [{ metric: 'value', value: values[row] }] : []
  }
}

/** What anybody can do without a detector: below these, an alert is worth nothing. */
export const FLOORS: Readonly<Record<string, (series: LabelledSeries) => Float64Array>> = {
  never: series => new Float64Array(series.rows),
  'every 600 rows': series => Float64Array.from(series.values, (_, row) => +(row % 600 === 0)),
  'running z': series => {
    const welford = new Welford()
    return series.values.map(value => {
      if (!Number.isFinite(value)) return 0
      const { count, mean, deviation } = welford
      welford.add(value)
      const z = count < 50 || deviation === 0 ? 0 : Math.abs(value - mean) / deviation
      return z >= 3 ? z / (z + 5) : 0
    })
  }
}
