/**
 * Instants as recordings write them.
 *
 * Numbers are s, ms, µs or ns since the epoch, told apart by magnitude; texts are RFC 3339, or
 * `YYYY-MM-DD HH:MM[:SS[.fff]]`, or a date alone. A text without a zone is UTC.
 *
 * A recording goes on for millions of lines, mostly of one day after the other: the last day is kept.
 */
export class InstantParser {
  #day = ''
  #dayAt = Number.NaN

  /** @returns Epoch ms, whole; NaN when it is none. */
  parse(text: string): number {
    if (text.length >= 16 && text.charCodeAt(4) === DASH && text.charCodeAt(13) === COLON) {
      const at = this.#clockTime(text)
      if (!Number.isNaN(at)) return at
    }
    return instantOf(text)
  }

  /** `YYYY-MM-DD HH:MM:SS`, the form that most recordings have, without a regular expression. */
  #clockTime(text: string): number {
    if (text.length !== 19 || text.charCodeAt(16) !== COLON) return Number.NaN
    const gap = text.charCodeAt(10)
    if (gap !== SPACE && gap !== BIG_T) return Number.NaN
    const day = text.slice(0, 10)
    if (day !== this.#day) {
      this.#day = day
      this.#dayAt = DAY.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN
    }
    const hours = twoDigits(text, 11)
    const minutes = twoDigits(text, 14)
    const seconds = twoDigits(text, 17)
    if (!(hours < 24 && minutes < 60 && seconds < 60)) return Number.NaN
    return this.#dayAt + ((hours * 60 + minutes) * 60 + seconds) * 1000
  }
}

const DASH = 45
const COLON = 58
const SPACE = 32
const BIG_T = 84
const DAY = /^\d{4}-\d\d-\d\d$/
const NUMBER = /^[+-]?\d{1,20}(?:\.\d*)?(?:[eE][+-]?\d{1,2})?$/
const TEXT =
  /^(\d{4})[-/](\d\d)[-/](\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?([Zz]|UTC|[+-]\d\d:?\d\d)?)?$/

/** @returns Epoch ms, whole; NaN when the text is no instant. */
export function instantOf(text: string): number {
  if (NUMBER.test(text)) return epochMs(Number(text))
  const match = TEXT.exec(text)
  if (!match) return Number.NaN
  const [, year, month, day, clock = '00:00:00', zone = 'Z'] = match
  const offset = zone === 'UTC' ? 'Z' : zone.toUpperCase().replace(/^(...)(\d\d)$/, '$1:$2')
  return Date.parse(`${year}-${month}-${day}T${clock.replace(',', '.')}${offset}`)
}

/** Each unit is unambiguous from 1973 to 5138; smaller numbers are seconds. */
export function epochMs(number: number): number {
  const size = Math.abs(number)
  if (size < 1e11) return Math.round(number * 1e3)
  if (size < 1e14) return Math.round(number)
  if (size < 1e17) return Math.round(number / 1e3)
  return size < 1e20 ? Math.round(number / 1e6) : Number.NaN
}

/** NaN unless both are digits. */
function twoDigits(text: string, from: number): number {
  const tens = text.charCodeAt(from) - 48
  const ones = text.charCodeAt(from + 1) - 48
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}
