import { sumOfTotals } from '../../core/runtime/bucket-counts.ts'
import type { FilteredCounters } from '../routing/router.ts'
import type { LaneView } from './lane-view.ts'

/** What a lane shows, as plain data. */
export function plainView(lane: LaneView): LaneView {
  const { name, state, oldestAt, sendingMs, expectedMs, rate } = lane
  const { counters, produceTimes, deadLetters, filtered } = lane
  return {
    ...{ name, state, oldestAt, sendingMs, rate, counters, deadLetters },
    ...(expectedMs === undefined ? {} : { expectedMs }),
    ...(produceTimes ? { produceTimes } : {}),
    ...(filtered ? { filtered } : {})
  }
}

/**
 * A lane as it is now, its counts going on from where those of its former life ended: what counts up
 * must not go back because a thread was started again.
 *
 * @param earlier As last heard of; undefined in the first life.
 */
export function withEarlier(lane: LaneView, earlier: LaneView | undefined): LaneView {
  if (!earlier) return lane
  const { counters, deadLetters, filtered, produceTimes } = lane
  const before = earlier.counters
  return {
    ...lane,
    counters: {
      ...counters,
      delivered: before.delivered + counters.delivered,
      produced: before.produced + counters.produced,
      producedBytes: before.producedBytes + counters.producedBytes,
      batches: before.batches + counters.batches
    },
    deadLetters: sums(earlier.deadLetters, deadLetters),
    ...(filtered ? { filtered: filteredSums(earlier.filtered ?? {}, filtered) } : {}),
    ...(produceTimes && earlier.produceTimes
      ? { produceTimes: sumOfTotals(earlier.produceTimes, produceTimes) }
      : {})
  }
}

type Counts = Partial<Record<string, number>>

function sums(before: Counts, now: Counts): Counts {
  const all = { ...before }
  for (const [name, count = 0] of Object.entries(now)) all[name] = (all[name] ?? 0) + count
  return all
}

/** Of a route that is configured no longer nothing is said any more. */
function filteredSums(
  before: Record<string, FilteredCounters>,
  now: Record<string, FilteredCounters>
): Record<string, FilteredCounters> {
  return Object.fromEntries(
    Object.entries(now).map(([route, { dropped, sampledOut }]) => [
      route,
      {
        dropped: (before[route]?.dropped ?? 0) + dropped,
        sampledOut: (before[route]?.sampledOut ?? 0) + sampledOut
      }
    ])
  )
}
