import { HEADERS } from '../../core/contract/headers.ts'
import { count, printable, timeText } from '../log/text.ts'
import { payloadJson, payloadLine } from '../payload-text.ts'
import { agentOf, cutFrom, type DeadLetter, placeOf, reasonOf, receivedAtOf } from './letter.ts'

export interface LetterListOptions {
  /** Letters that are shown, at most. */
  limit: number
  /** Which of them: the oldest received, or the newest. */
  order: 'newest' | 'oldest'
  /** First bytes of each payload. */
  headBytes: number
}

/** Keeps the newest or oldest of all dead letters it is given, and counts the rest by reason. */
export class LetterList {
  readonly byReason: Record<string, number> = {}
  total = 0
  readonly #options: LetterListOptions
  #kept: Listed[] = []

  constructor(options: LetterListOptions) {
    this.#options = options
  }

  add(letter: DeadLetter): void {
    this.total++
    const reason = reasonOf(letter)
    this.byReason[reason] = (this.byReason[reason] ?? 0) + 1
    if (this.#options.limit === 0) return
    this.#kept.push(listed(letter, this.#options.headBytes))
    if (this.#kept.length >= this.#options.limit * 2 + 100) this.#prune()
  }

  get letters(): readonly Listed[] {
    this.#prune()
    return this.#kept
  }

  json(topic: string): object {
    return { topic, total: this.total, byReason: this.byReason, letters: this.letters.map(jsonOf) }
  }

  /** For a person. */
  text(topic: string): string {
    if (this.total === 0) return `${topic}: no dead letters`
    const { letters } = this
    const parts = Object.entries(this.byReason).sort(([, a], [, b]) => b - a)
    const reasons = parts.map(([reason, n]) => `${printable(reason)} ${n.toLocaleString('en-US')}`)
    const shown =
      letters.length < this.total ? `; the ${this.#options.order} ${letters.length}` : ''
    const head = `${topic}: ${count(this.total, 'dead letter')} (${reasons.join(', ')})${shown}`
    return [head, ...letters.map(textOf)].join('\n\n')
  }

  #prune(): void {
    const sign = this.#options.order === 'newest' ? -1 : 1
    this.#kept.sort((a, b) => sign * (a.at - b.at || a.brokerOffset - b.brokerOffset))
    this.#kept.length = Math.min(this.#kept.length, this.#options.limit)
  }
}

interface Listed {
  place: string
  brokerOffset: number
  at: number
  agent: string | undefined
  letter: DeadLetter
  bytes: number
  originalBytes: number | undefined
}

/** A copy of the head alone, so that the fetched batch can go. */
function listed(letter: DeadLetter, headBytes: number): Listed {
  const { brokerOffset, value } = letter
  return {
    ...{ place: placeOf(letter), brokerOffset, at: receivedAtOf(letter) },
    ...{ agent: agentOf(letter), bytes: value.length, originalBytes: cutFrom(letter) },
    letter: { ...letter, value: Buffer.from(value.subarray(0, headBytes)) }
  }
}

function jsonOf({ place, at, agent, letter, bytes, originalBytes }: Listed): object {
  const { headers, key, value } = letter
  const told = (name: string) => headers[name] ?? null
  return {
    ...{ place, id: told(HEADERS.id), agent: agent ?? null, receivedAt: at },
    ...{ stage: told(HEADERS.stage), reason: reasonOf(letter), detail: told(HEADERS.detail) },
    ...{ route: told(HEADERS.route), topic: told(HEADERS.topic), key, bytes },
    ...(originalBytes === undefined ? {} : { originalBytes }),
    ...payloadJson(value, bytes),
    ...(value.length < bytes ? { payloadCut: true } : {})
  }
}

function textOf({ place, at, letter, bytes, originalBytes }: Listed): string {
  const { headers, key, value } = letter
  const of = originalBytes === undefined ? '' : ` of ${originalBytes}; the rest was not kept`
  const route = headers[HEADERS.route]
  const lines = [
    `${place}  ${timeText(at)} UTC  ${reasonOf(letter)} (${headers[HEADERS.stage] ?? '-'})  ${headers[HEADERS.topic] ?? '-'}`,
    `  detail   ${headers[HEADERS.detail] ?? '-'}`,
    `  id       ${headers[HEADERS.id] ?? '-'}  key ${key}${route === undefined ? '' : `  route ${route}`}`,
    `  payload  ${payloadLine(value, value.length, bytes)}  (${bytes} bytes${of})`
  ]
  return lines.map(printable).join('\n')
}
