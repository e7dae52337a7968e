import { sumOfTotals } from '../../core/runtime/bucket-counts.ts'
import { addCounters, pastOf } from '../../detector/counters.ts'
import type { EdgeMeasures } from '../../detector/edge-detector.ts'

export interface MeasuredEdge {
  /** Whether it answers and detects. */
  up: boolean
  /** As last heard of; undefined before the first answer. */
  measures: EdgeMeasures | undefined
}

/**
 * What a detector has measured, its counts going on from where those of its former life ended.
 *
 * @param earlier As last heard of: what it did between that and its end is not counted.
 */
export function withEarlierMeasures(
  now: EdgeMeasures,
  earlier: EdgeMeasures | undefined
): EdgeMeasures {
  if (!earlier) return now
  const counters = structuredClone(now.counters)
  addCounters(counters, pastOf(earlier.counters))
  return { ...now, counters, modelRuns: sumOfTotals(now.modelRuns, earlier.modelRuns) }
}
