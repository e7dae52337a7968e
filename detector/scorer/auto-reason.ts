import type { RowVerdict } from './auto-rows.ts'

const SLOT_MS = 1_800_000
const DAYS = ['Sundays', 'Mondays', 'Tuesdays', 'Wednesdays', 'Thursdays', 'Fridays', 'Saturdays']
/** Of a normal: its deviation, and its mean distance from expectation, in the scale of rows. */
const DEVIATION = 1.48
const MEAN_DISTANCE = 1.18

/**
 * One sentence about rows that stand out.
 *
 * @param at Of the row, epoch ms.
 * @param rows What rows are to a person: `readings`.
 */
export function rowReason(verdict: RowVerdict, at: number, rows: string): string {
  if (verdict.level > verdict.pattern) {
    const deviations = Math.abs(verdict.levelAverage) / DEVIATION
    const side = verdict.levelAverage > 0 ? 'above' : 'below'
    return `the average of the last 10 ${rows} is ${deviations.toFixed(1)} deviations ${side} the level of the last days`
  }
  const times = (verdict.patternAverage / MEAN_DISTANCE).toFixed(1)
  return `the last 10 ${rows} are ${times} times as far as usual from what ${slotText(at)} and the days before lead to expect`
}

/** `Tuesdays from 14:30 to 15:00 UTC` */
function slotText(at: number): string {
  const from = new Date(Math.floor(at / SLOT_MS) * SLOT_MS)
  const end = new Date(from.getTime() + SLOT_MS)
  return `${DAYS[from.getUTCDay()]} from ${clock(from)} to ${clock(end)} UTC`
}

function clock(date: Date): string {
  return date.toISOString().slice(11, 16)
}
