import { HEADERS } from '../../core/contract/headers.ts'
import { count, printable } from '../log/text.ts'
import { type DeadLetter, placeOf, reasonOf } from './letter.ts'
import type { LeftCause, Resent } from './resending.ts'

export interface LeftLetter {
  place: string
  id: string | null
  topic: string | null
  reason: string
  cause: LeftCause
  detail: string
}

/** Told one by one; the rest is counted. */
const LEFT_MAX = 1000
const LEFT_LINES_MAX = 20

/** What a replay did, or with `dryRun` would do. */
export class ReplayReport {
  readonly dryRun: boolean
  /** Dead letters. */
  sent = 0
  readonly recordsByTopic: Record<string, number> = {}
  /** Dropped, or sampled out, by today's routes: by route. */
  readonly settled: Record<string, number> = {}
  readonly leftByCause: Partial<Record<LeftCause, number>> = {}
  readonly left: LeftLetter[] = []
  /** Places of the topic that earlier runs are done with. */
  already = 0
  /** Not selected. */
  passedOver = 0
  /** `gaps`: the group cannot hold a note of more places. */
  stopped: 'limit' | 'gaps' | undefined
  /** All of the topic was looked at. */
  complete = false

  constructor(dryRun: boolean) {
    this.dryRun = dryRun
  }

  get leftTotal(): number {
    return Object.values(this.leftByCause).reduce((sum, each) => sum + each, 0)
  }

  count(letter: DeadLetter, result: Resent): void {
    if (result.kind === 'send') {
      this.sent++
      for (const { topic } of result.records) add(this.recordsByTopic, topic)
    } else if (result.kind === 'settled') add(this.settled, result.route)
    else {
      const { cause, detail } = result
      add(this.leftByCause, cause)
      if (this.left.length >= LEFT_MAX) return
      const id = letter.headers[HEADERS.id] ?? null
      const topic = letter.headers[HEADERS.topic] ?? null
      this.left.push({ place: placeOf(letter), id, topic, reason: reasonOf(letter), cause, detail })
    }
  }

  json(): object {
    const { dryRun, sent, recordsByTopic, settled, leftTotal, leftByCause, left } = this
    const { already, passedOver, complete, stopped = null } = this
    return {
      ...{ dryRun, sent, recordsByTopic, settled, leftTotal, leftByCause, left },
      ...{ already, passedOver, complete, stopped }
    }
  }

  /** For a person. */
  text(): string {
    const would = this.dryRun ? 'would send' : 'sent'
    const lines = [`${would} ${count(this.sent, 'dead letter')} again`]
    for (const [topic, n] of Object.entries(this.recordsByTopic)) {
      lines.push(`  ${count(n, 'record')} to ${topic}`)
    }
    for (const [route, n] of Object.entries(this.settled)) {
      lines.push(`${count(n, 'dead letter')} dropped or sampled out by route '${route}' now`)
    }
    if (this.leftTotal > 0) lines.push(...this.#leftLines())
    if (this.already > 0)
      lines.push(`${count(this.already, 'place')} of the topic done with before`)
    if (this.stopped === 'limit') lines.push('stopped at --limit: there may be more')
    if (this.stopped === 'gaps') lines.push(GAPS)
    return lines.join('\n')
  }

  #leftLines(): string[] {
    const lines = [`left ${count(this.leftTotal, 'dead letter')}, which still fail`]
    for (const { place, topic, reason, cause, detail } of this.left.slice(0, LEFT_LINES_MAX)) {
      lines.push(`  ${place}  ${printable(`${topic ?? '-'}  ${reason}  ${cause}: ${detail}`)}`)
    }
    const more = this.leftTotal - Math.min(LEFT_LINES_MAX, this.left.length)
    if (more > 0) lines.push(`  and ${count(more, 'other')}`)
    return lines
  }
}

const GAPS =
  'stopped: too many dead letters that still fail lie between those that were sent for the group to remember. Mend them first, or give them up with --skip-failing.'

function add(counts: Record<string, number | undefined>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}
