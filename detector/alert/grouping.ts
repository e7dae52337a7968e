import { ratioOfScore } from '../scorer/scorer.ts'
import type { Condition } from './condition.ts'
import type { AlertDetails, Observation, OpenAlert } from './lifecycle.ts'

/** A series that takes part in an alert, or the device as a whole (`-`). */
export interface Contributor {
  metric: string
  /** Its highest. */
  score: number
  /** What it consists of itself: a model's row is several metrics. */
  shares: AlertDetails['contributions']
}

/** A condition that has begun. Plain data: snapshots hold it as JSON. */
export interface Part extends Contributor {
  condition: Condition
  /** Whose readings tell the time of it. */
  agentId: string
  /** Hidden by a silence. */
  muted: boolean
  /** Event time of the last change of `muted`, or of the beginning: older readings change nothing. */
  mutedAt: number
  /** As of its beginning. */
  details: AlertDetails
  /** Nobody judges it any more: why it is to be ended. */
  orphan?: string
}

/** What is told as one alert: the conditions of one kind of a device, or one condition. */
export interface Group {
  key: string
  parts: Part[]
  /** Raised and not cleared. */
  alert?: OpenAlert
  /** Took part in the alert, and does no more. */
  left: Contributor[]
  /** Only within one reading, told at its end: who joined; the words for a clear. */
  joined?: Observation
  ending?: Observation
}

/** Listed in an event, named in a sentence. */
const LISTED_MAX = 32
const NAMED_MAX = 3
/** How many times its line a surprise counts at most: one broken sensor must not hide the others. */
const RATIO_MAX = 100

/**
 * What an alert of a device says: the speaker's figures and sentence, and everybody's shares of the
 * surprise, largest first.
 */
export function deviceDetails(
  speaker: Contributor,
  details: AlertDetails,
  contributors: readonly Contributor[]
): AlertDetails {
  const others = contributors.filter(c => c !== speaker).map(c => c.metric)
  const name = speaker.metric === '-' ? '' : `${speaker.metric}: `
  return {
    ...details,
    contributions: combined(contributors),
    reason: `${name}${details.reason}${alsoText(others)}`
  }
}

/** A part's reading in the words of its group's alert. */
export function spoken(
  group: Group,
  part: Part,
  seen: Observation,
  contributors: readonly Contributor[]
): Observation {
  const own = group.alert?.subject.metric === part.metric
  if (own && contributors.length === 1) return seen
  return {
    ...seen,
    metric: part.metric,
    details: () => {
      const details = seen.details()
      // A model's row has other shares each time.
      if (details.contributions.length > 0) part.shares = details.contributions
      return deviceDetails(part, details, contributors)
    }
  }
}

export function told(group: Group): Part[] {
  return group.parts.filter(p => !p.muted)
}

export function bare({ details, shares }: Part, reason: string): AlertDetails {
  const { detector, threshold } = details
  return {
    ...(threshold === undefined ? {} : { threshold }),
    ...{ contributions: shares, reason, detector }
  }
}

function combined(contributors: readonly Contributor[]): AlertDetails['contributions'] {
  if (contributors.length === 1) return contributors[0].shares.slice(0, LISTED_MAX)
  const weights = new Map<string, number>()
  for (const { score, shares } of contributors) {
    const ratio = Math.min(ratioOfScore(score), RATIO_MAX)
    for (const { metric, share } of shares) {
      weights.set(metric, (weights.get(metric) ?? 0) + ratio * share)
    }
  }
  const sum = [...weights.values()].reduce((a, b) => a + b, 0)
  return [...weights]
    .map(([metric, weight]) => ({ metric, share: sum > 0 ? rounded(weight / sum) : 0 }))
    .sort((a, b) => b.share - a.share)
    .slice(0, LISTED_MAX)
}

function alsoText(metrics: readonly string[]): string {
  const named = metrics.filter(m => m !== '-')
  if (named.length === 0) return ''
  const more = named.length - NAMED_MAX
  return `; also ${named.slice(0, NAMED_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

function rounded(share: number): number {
  return Math.round(share * 1e4) / 1e4
}
