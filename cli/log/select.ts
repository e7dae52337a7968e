import { OperationalError } from '../../core/runtime/errors.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import { type Entry, topicFilterFault, topicMatches } from './records.ts'

/** Which entries are wanted. Ranges are half-open. */
export interface Selection {
  topic?: string
  /** Epoch ms. */
  since?: number
  until?: number
}

export function isSelected({ topic, since, until }: Selection, entry: Entry): boolean {
  if (topic !== undefined && !(entry.topic !== undefined && topicMatches(topic, entry.topic))) {
    return false
  }
  if (since === undefined && until === undefined) return true
  if (entry.at === undefined) return false
  return entry.at >= (since ?? -Infinity) && entry.at < (until ?? Infinity)
}

/** @throws {OperationalError} USAGE */
export function parseOffset(flag: string): (text: string) => number {
  return text => {
    const value = Number(text.replaceAll(/[_,]/g, ''))
    if (/^\d[\d_,]*$/.test(text) && Number.isSafeInteger(value)) return value
    throw usage(flag, text, 'a whole number from 0')
  }
}

/** RFC 3339, a date, epoch ms, or a duration for "so long ago". @throws {OperationalError} USAGE */
export function parseInstant(flag: string, now: () => number): (text: string) => number {
  return text => {
    if (/^\d{12,14}$/.test(text)) return Number(text)
    const rfc3339 = /^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d))?$/
    const at = rfc3339.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN
    if (Number.isFinite(at)) return at
    try {
      return now() - parseDuration(text)
    } catch {
      const what = "a time like 2026-11-22T08:26:40Z, 2026-11-22, or '2h' for two hours ago"
      throw usage(flag, text, what)
    }
  }
}

/** @throws {OperationalError} USAGE */
export function parseTopicFilter(text: string): string {
  const fault = topicFilterFault(text)
  if (fault === undefined) return text
  throw usage('--topic', text, `an MQTT topic filter, such as 'telemetry/+/pump-3/#': ${fault}`)
}

/** The choices are told with it, for a shell to complete. @throws {OperationalError} USAGE */
export function parseChoice<T extends string>(flag: string, choices: readonly T[]) {
  const parse = (text: string): T => {
    const choice = choices.find(each => each === text)
    if (choice) return choice
    throw usage(flag, text, choices.join(' or '))
  }
  return Object.assign(parse, { choices })
}

function usage(flag: string, text: string, what: string): OperationalError {
  return new OperationalError('USAGE', `${flag} is "${text}"; it must be ${what}.`)
}
