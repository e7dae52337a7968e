import { z } from 'zod'
import { type Address, parseAddress } from './address.ts'
import {
  DURATION_PATTERN,
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration,
  SIZE_PATTERN
} from './units.ts'

/** Both bounds included, in ms or bytes. */
export interface Bounds {
  readonly min?: number
  readonly max?: number
}

/** Written `10s`, parsed to ms. The bound above defaults to ten years. */
export function duration({ min = 0, max = 3650 * 86_400_000 }: Bounds = {}) {
  return z
    .unknown()
    .meta({ title: 'duration', ...quantityMeta(DURATION_PATTERN) })
    .transform((value, context) =>
      within(value, context, parseDuration, formatDuration, { min, max })
    )
}

/** Written `4MiB`, parsed to bytes. The bound above defaults to 1 PiB. */
export function bytes({ min = 0, max = 2 ** 50 }: Bounds = {}) {
  return z
    .unknown()
    .meta({ title: 'size', ...quantityMeta(SIZE_PATTERN) })
    .transform((value, context) => within(value, context, parseBytes, formatBytes, { min, max }))
}

/** A whole number; every count has an end. */
export function count(min: number, max: number) {
  return z.int().min(min).max(max)
}

/** Where to listen; `off` or nothing at all means nowhere and is parsed to null. */
export function listenAddress() {
  return z
    .unknown()
    .meta({ title: "HOST:PORT or 'off'", type: ['string', 'null', 'boolean'] as never })
    .transform((value, context): Address | null => {
      if (value === null || value === false || value === 'off' || value === 'null') return null
      return attempt(value, context, text => {
        if (typeof text !== 'string') throw new SyntaxError("expected HOST:PORT or 'off'")
        return parseAddress(text)
      })
    })
}

/** Non-empty text that `check` accepts; it throws a SyntaxError fit for the author to refuse. */
export function text(check?: (value: string) => unknown) {
  return z
    .string()
    .min(1, { abort: true })
    .superRefine((value, context) => {
      if (check) attempt(value, context, check)
    })
}

const NAME = /^[A-Za-z0-9._-]{1,64}$/

/** A name that stands in ids, paths and metrics: letters, digits, `.`, `_`, `-`, 1 to 64 of them. */
export function name() {
  return text(value => {
    if (!NAME.test(value)) throw new SyntaxError('a name is 1 to 64 of A-Z a-z 0-9 . _ -')
  })
}

/** An existing Kafka topic's name, without placeholders. Source: Kafka's `Topic.validate`. */
export function kafkaTopic() {
  return text(checkKafkaTopic)
}

/** @throws {SyntaxError} */
export function checkKafkaTopic(value: string): void {
  if (!/^[A-Za-z0-9._-]{1,249}$/.test(value) || value === '.' || value === '..') {
    throw new SyntaxError('a Kafka topic is 1 to 249 of A-Z a-z 0-9 . _ -')
  }
}

/** Reports every entry whose key was used before, at its own place. */
export function refuseRepeated<T>(
  entries: readonly T[],
  field: Extract<keyof T, string>,
  context: z.RefinementCtx
): void {
  for (const [index, entry] of entries.entries()) {
    const first = entries.findIndex(other => other[field] === entry[field])
    if (first === index) continue
    context.addIssue({
      code: 'custom',
      path: [index, field],
      message: `'${entry[field]}' is taken by entry ${first + 1} of the list`
    })
  }
}

function quantityMeta(pattern: string) {
  // An editor must not underline ${VARIABLE}, which is put in only at load.
  // The one number allowed is 0.
  return {
    type: ['string', 'integer'] as never,
    minimum: 0,
    maximum: 0,
    pattern: `^(${pattern}|.*\\$\\{.*)$`
  }
}

function within(
  value: unknown,
  context: z.RefinementCtx,
  parse: (value: unknown) => number,
  format: (value: number) => string,
  { min, max }: Required<Bounds>
): number {
  return attempt(value, context, written => {
    const parsed = parse(written)
    if (parsed < min) throw new SyntaxError(`must be at least ${format(min)}`)
    if (parsed > max) throw new SyntaxError(`must be at most ${format(max)}`)
    return parsed
  })
}

function attempt<T, R>(value: T, context: z.RefinementCtx, run: (value: T) => R): R {
  try {
    return run(value)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    // Not to be continued: checks across fields rely on every field being valid.
    context.addIssue({ code: 'custom', message: error.message, continue: false })
    return z.NEVER
  }
}
