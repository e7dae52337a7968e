import type { Sight } from '../status/sight.ts'
import { laneErrorText } from '../status/words.ts'

/** Values are kept for the widest sparkline. */
const LOOKS_MAX = 240

/** What `top` remembers of the looks before: one value a look, the newest last. */
export class TopHistory {
  readonly in: number[] = []
  readonly out: number[] = []
  readonly waiting: number[] = []
  /** By lane: the most that waited since it was last empty. */
  readonly peaks = new Map<string, number>()
  /** The last trouble of delivery, kept when it is over. */
  lastError: { text: string; at: number } | undefined

  add(sight: Sight): void {
    if (sight.kind === 'agent') {
      const { view, status } = sight
      this.#push(view.in.perS, view.out.perS, view.disk.records)
      for (const [name, lane] of Object.entries(status.lanes)) {
        const peak = lane.backlogRecords === 0 ? 0 : (this.peaks.get(name) ?? 0)
        this.peaks.set(name, Math.max(peak, lane.backlogRecords))
        const text = laneErrorText(lane, sight.at)
        if (text) this.lastError = { text: `${name}: ${text}`, at: sight.at }
      }
    } else {
      this.#push(sight.readPerS, 0, sight.lag)
    }
  }

  #push(inPerS: number, outPerS: number, waiting: number): void {
    for (const [list, value] of [
      [this.in, inPerS],
      [this.out, outPerS],
      [this.waiting, waiting]
    ] as const) {
      list.push(value)
      if (list.length > LOOKS_MAX) list.shift()
    }
  }
}
