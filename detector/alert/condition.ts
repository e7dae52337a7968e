import type { Severity } from '../../core/contract/alert-event.ts'
import type { AlertSubject } from './lifecycle.ts'

/**
 * A state of a series that deserves a person's attention, of one kind: begun, and not yet over.
 *
 * What judges it – a scorer with `Decider`, or a test with a dead band of its own – tells the book:
 *
 *     alerts.begin(condition, [{ at, score, value }], seen)  // the readings that its on-delay counted
 *     alerts.observe(condition, seen)                        // a reading while it lasts
 *     alerts.end(condition, seen)                            // the off-delay has passed
 *
 * `seen.details` is asked for at once or never: before the reading is learned. To begin twice is to
 * observe, to observe or end what never began is nothing. Scores are on the one scale (0.8 at the
 * judge's own line, see `scoreOfRatio`); severity follows from them. Grouping, silences, update
 * limits, restarts and events are the book's affair, not the judge's.
 *
 * A new kind needs, beside this: a line in the detector's `#isJudged`, so that its open alerts end
 * when it is taken out of the configuration. The detector ends all of a series that it forgets.
 */
export interface Condition extends AlertSubject {
  severityMin?: Severity
  /** It lasts without a reading (a silence): told when a window that hid it ends, whoever speaks. */
  standing?: boolean
  /** That it goes on is no news: updated only when it gets worse. */
  steady?: boolean
}

/** MQTT forbids U+0000 in topics, so only the metric, last, could hold one. */
export function conditionKey({ site, device, metric, kind }: AlertSubject): string {
  return `${site}\0${device}\0${kind}\0${metric}`
}
