import { qualitySchema } from '../../../detector/quality/quality-config.ts'
import { type SeriesFacts, SeriesQuality } from '../../../detector/quality/series-quality.ts'
import { T0 } from '../kit.ts'

export const MINUTE = 60_000
export const DAY = 86_400_000
export const NO_FACTS: SeriesFacts = { limit: undefined, counter: false }

/** The kinds found, each with the number of the reading. */
export interface Found {
  kind: string
  index: number
  reason: string
}

/** One series through all its questions: a reading a minute, unless times are given. */
export function runSeries(
  values: Iterable<number>,
  {
    config = {},
    facts = NO_FACTS,
    intervalMs = MINUTE
  }: { config?: object; facts?: SeriesFacts; intervalMs?: number } = {}
): { found: Found[]; quality: SeriesQuality; scored: (number | undefined)[]; renewed: number[] } {
  const quality = new SeriesQuality(qualitySchema.parse(config))
  quality.reserve(1)
  const found: Found[] = []
  const scored: (number | undefined)[] = []
  const renewed: number[] = []
  let index = 0
  for (const value of values) {
    const look = quality.look(0, T0 + index * intervalMs, value, facts)
    scored.push(look.scored)
    if (look.renewed) renewed.push(index)
    for (const { kind, reason } of quality.findings) found.push({ kind, index, reason })
    index++
  }
  return { found, quality, scored, renewed }
}

export function* take(count: number, next: (i: number) => number): Generator<number> {
  for (let i = 0; i < count; i++) yield next(i)
}
