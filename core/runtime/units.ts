/**
 * Durations and sizes as people write them (`10s`, `4MiB`) and as code counts them (ms, bytes).
 *
 * A number without a unit is refused, save 0: nobody can tell whether `timeout: 10` means
 * seconds or milliseconds.
 */
const DURATIONS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000, ms: 1 } as const

const SIZES = {
  TiB: 2 ** 40,
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  KiB: 2 ** 10,
  TB: 1e12,
  GB: 1e9,
  MB: 1e6,
  kB: 1000,
  KB: 1000,
  B: 1
} as const

interface Quantity {
  readonly noun: string
  readonly example: string
  readonly units: Readonly<Record<string, number>>
}

const DURATION: Quantity = { noun: 'duration', example: '10s', units: DURATIONS }
const SIZE: Quantity = { noun: 'size', example: '4MiB', units: SIZES }

const NUMBER = '[0-9]+(?:\\.[0-9]+)?'

/** Regular expressions of the written form, for the JSON Schema. */
export const DURATION_PATTERN = `(?:0|${NUMBER}(?:${Object.keys(DURATIONS).join('|')}))`
export const SIZE_PATTERN = `(?:0|${NUMBER}(?:${Object.keys(SIZES).join('|')}))`

/**
 * @returns Whole milliseconds.
 * @throws {SyntaxError} with a message fit for the configuration's author.
 */
export function parseDuration(value: unknown): number {
  return parseQuantity(value, DURATION)
}

/**
 * @returns Whole bytes.
 * @throws {SyntaxError} with a message fit for the configuration's author.
 */
export function parseBytes(value: unknown): number {
  return parseQuantity(value, SIZE)
}

/** The shortest exact form: 90000 is `90s`, 604800000 is `7d`. Parses back to the same number. */
export function formatDuration(ms: number): string {
  return formatQuantity(ms, DURATIONS)
}

/** The shortest exact form: 1048576 is `1MiB`, 1500 is `1500B`. Parses back to the same number. */
export function formatBytes(bytes: number): string {
  return formatQuantity(bytes, SIZES)
}

function parseQuantity(value: unknown, { noun, example, units }: Quantity): number {
  if (value === 0 || value === '0') return 0
  if (typeof value === 'number' || (typeof value === 'string' && /^[0-9.]+$/.test(value))) {
    throw new SyntaxError(`a ${noun} needs its unit (${listUnits(units)}): write '${example}'`)
  }
  if (typeof value !== 'string') throw new SyntaxError(`expected a ${noun} like '${example}'`)
  const [, number, unit] = new RegExp(`^(${NUMBER}) ?([A-Za-zµ]+)$`).exec(value.trim()) ?? []
  if (!unit) throw new SyntaxError(`'${value}' is not a ${noun}: write it like '${example}'`)
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined
  if (factor === undefined) throw new SyntaxError(unknownUnit(unit, noun, units))
  const result = Number(number) * factor
  // 0.1 × 1000 and its like are off by a rounding error; 1.5ms is off by a half.
  const rounded = Math.round(result)
  if (Math.abs(result - rounded) > 1e-6 * factor || !Number.isSafeInteger(rounded)) {
    throw new SyntaxError(`'${value}' is not a whole number of ${noun === 'size' ? 'bytes' : 'ms'}`)
  }
  return rounded
}

function unknownUnit(unit: string, noun: string, units: Readonly<Record<string, number>>): string {
  const meant = Object.keys(units).find(known => known.toLowerCase() === unit.toLowerCase())
  const hint = meant ? `did you mean '${meant}'?` : `use ${listUnits(units)}`
  return `'${unit}' is no unit of a ${noun}; ${hint}`
}

function listUnits(units: Readonly<Record<string, number>>): string {
  return Object.keys(units).reverse().join(', ')
}

function formatQuantity(value: number, units: Readonly<Record<string, number>>): string {
  if (value === 0) return '0'
  const exact = Object.entries(units).filter(([, factor]) => value % factor === 0)
  const [unit, factor] = exact.reduce((best, next) => (next[1] > best[1] ? next : best))
  return `${value / factor}${unit}`
}
