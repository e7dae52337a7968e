/** One number of a device, at one instant. */
export interface Value {
  /** Name within the device: `temperature`, `motor.temp`, `axes.0`. */
  metric: string
  /** Finite, in the metric's own unit. */
  value: number
  /** As its route's `fields` declare it. */
  unit?: string
}

/** What a route declares of a leaf. */
export interface FieldRule {
  /** The metric's name, in place of the leaf's. */
  as?: string | undefined
  /** Of the value as it is then. */
  unit?: string | undefined
  /** The metric's value is the number sent × `scale` + `offset`, not rounded. */
  scale?: number | undefined
  offset?: number | undefined
}

/** The wanted leaves, by name; a `Set` of names takes them as they are. */
export interface Fields {
  has(name: string): boolean
  get?(name: string): FieldRule | undefined
}

/** What a payload says, decoded by its route's codec. */
export interface DecodedPayload {
  /** Device's own time, epoch ms; absent when the payload has none that can be read. */
  observedAt?: number
  values: Value[]
  /** Metrics whose leaf is null or text, where asked for and any: a sensor may have failed. */
  unusable?: string[]
  /** More values, or behind it more readings, than are decoded: the others are left out. */
  overfull?: true
}

export const CODECS = ['json', 'number', 'raw'] as const
export type Codec = (typeof CODECS)[number]

/** Limits on strangers' payloads: what lies beyond is not decoded, never an error of ours. */
const DEPTH_MAX = 8
/** Of one reading; an array of readings has as many for each. */
export const VALUES_MAX = 512
/** Of one message: a megabyte of `{},` would be a third of a million. */
export const READINGS_MAX = 100_000
const UNUSABLE_MAX = 32
const METRIC_CHARS_MAX = 256
const TIME_NAMES = new Set(['ts', 'timestamp', 'time'])
/** Leaves that count or identify; as series they would only raise false alerts. */
const NO_SERIES = new Set(['ts', 'timestamp', 'time', 'seq', 'sequence', 'id', 'msgid'])

export type DecodeResult =
  | {
      ok: true
      payloads: DecodedPayload[]
      /** The payload is an array of readings, be it of one. */
      several?: true
    }
  /** `reason` is of a closed list, fit for a metric label and the `fl-reason` header. */
  | { ok: false; reason: 'not_json' | 'not_a_number' | 'too_deep'; detail: string }

/**
 * Reads the numbers out of a payload.
 *
 * @param metric The topic's `{metric}`, if the route has one. With it, a leaf `value` or `v`, or
 *   one named like it, is the metric itself and any other leaf is `metric.leaf`.
 * @param fields Leaves by their name, with or without the topic's metric; those that are not among
 *   them are no series. A bare number always is one, and is scaled like a leaf.
 * @param withUnusable Also name the leaves that are null or text.
 * @returns One payload, or one an element for a top-level array of objects; a payload without a
 *   number has no values. Booleans, strings and nulls are no values.
 */
export function decodePayload(
  codec: Codec,
  payload: Uint8Array,
  metric: string | undefined,
  fields?: Fields,
  withUnusable = false
): DecodeResult {
  if (codec === 'raw') return { ok: true, payloads: [] }
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8')
  if (codec === 'number') return decodeNumber(text, metric, fields)
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    return { ok: false, reason: 'not_json', detail: (error as Error).message.slice(0, 200) }
  }
  if (typeof json === 'number') return single(metric ?? 'value', json, fields)
  const several = Array.isArray(json) && json.some(isObject)
  const all = several ? (json as unknown[]) : [json]
  const elements = all.length > READINGS_MAX ? all.slice(0, READINGS_MAX) : all
  const payloads: DecodedPayload[] = []
  for (const element of elements) {
    const values: Value[] = []
    const unusable: string[] | undefined = withUnusable ? [] : undefined
    const leaves: Leaves = { values, unusable, overfull: false }
    if (!collect(element, [], metric, leaves, fields)) {
      return { ok: false, reason: 'too_deep', detail: `more than ${DEPTH_MAX} levels` }
    }
    const observedAt = isObject(element) ? timeOf(element) : undefined
    const decoded: DecodedPayload = {
      values,
      ...(observedAt === undefined ? {} : { observedAt }),
      ...(unusable && unusable.length > 0 ? { unusable } : {})
    }
    if (leaves.overfull) decoded.overfull = true
    payloads.push(decoded)
  }
  if (elements !== all) payloads[READINGS_MAX - 1].overfull = true
  return { ok: true, payloads, ...(several ? { several } : {}) }
}

function decodeNumber(
  text: string,
  metric: string | undefined,
  fields: Fields | undefined
): DecodeResult {
  const trimmed = text.trim()
  // Number() alone would take '', '0x10' and 'Infinity'.
  // One way to match only: a million digits and a letter must not take a quadratic time.
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(trimmed)) {
    return { ok: false, reason: 'not_a_number', detail: trimmed.slice(0, 40) }
  }
  return single(metric ?? 'value', Number(trimmed), fields)
}

function single(name: string, number: number, fields: Fields | undefined): DecodeResult {
  const value = measured(name, number, fields?.get?.(name))
  if (!value) return { ok: false, reason: 'not_a_number', detail: 'beyond the range of a double' }
  return { ok: true, payloads: [{ values: [value] }] }
}

/** @returns undefined when it is not finite, as it was sent or as it is scaled. */
function measured(name: string, number: number, rule: FieldRule | undefined): Value | undefined {
  const value = rule ? number * (rule.scale ?? 1) + (rule.offset ?? 0) : number
  if (!Number.isFinite(value)) return undefined
  const metric = rule?.as ?? name
  return rule?.unit === undefined ? { metric, value } : { metric, value, unit: rule.unit }
}

interface Leaves {
  values: Value[]
  /** Absent: not asked for. */
  unusable: string[] | undefined
  /** One more was found: that ends the search. */
  overfull: boolean
}

function collectUnusable(
  path: string[],
  metric: string | undefined,
  into: string[],
  fields: Fields | undefined
): void {
  if (into.length >= UNUSABLE_MAX) return
  const name = metricName(path, metric)
  if (name.length > METRIC_CHARS_MAX || !isSeries(path, name, fields)) return
  into.push(ruleFor(path, name, fields)?.as ?? name)
}

/** @returns false when the element nests deeper than the limit. */
function collect(
  node: unknown,
  path: string[],
  metric: string | undefined,
  into: Leaves,
  fields: Fields | undefined
): boolean {
  if (typeof node === 'number') {
    const name = metricName(path, metric)
    if (name.length <= METRIC_CHARS_MAX && isSeries(path, name, fields)) {
      const value = measured(name, node, ruleFor(path, name, fields))
      if (value && into.values.length >= VALUES_MAX) into.overfull = true
      else if (value) into.values.push(value)
    }
    return true
  }
  if (typeof node !== 'object' || node === null) {
    if (into.unusable) collectUnusable(path, metric, into.unusable, fields)
    return true
  }
  if (path.length >= DEPTH_MAX) return false
  // Not Object.entries: of a million elements it would make a million pairs first.
  for (const key in node) {
    if (into.overfull) return true
    const child = (node as Record<string, unknown>)[key]
    const kind = typeof child
    if (kind !== 'number' && kind !== 'object' && !(into.unusable && kind === 'string')) continue
    if (!collect(child, [...path, key], metric, into, fields)) return false
  }
  return true
}

/** What is declared under the full name goes before what is declared under the leaf's own. */
function ruleFor(path: string[], name: string, fields: Fields | undefined): FieldRule | undefined {
  return fields?.get?.(name) ?? fields?.get?.(path.join('.'))
}

function isSeries(path: string[], name: string, fields: Fields | undefined): boolean {
  if (fields) return fields.has(name) || fields.has(path.join('.'))
  return !NO_SERIES.has((path.at(-1) ?? '').toLowerCase())
}

function metricName(path: string[], metric: string | undefined): string {
  const leaf = path.join('.')
  if (metric === undefined) return leaf === '' ? 'value' : leaf
  if (leaf === '' || leaf === 'value' || leaf === 'v' || leaf === metric) return metric
  return `${metric}.${leaf}`
}

function timeOf(element: Record<string, unknown>): number | undefined {
  for (const name of TIME_NAMES) {
    const at = Object.hasOwn(element, name) ? parseInstant(element[name]) : undefined
    if (at !== undefined) return at
  }
  return undefined
}

/**
 * An instant in s, ms, µs or ns since the epoch, told apart by magnitude, or RFC 3339 text.
 *
 * @returns Epoch ms, whole; undefined when it is none. Seconds are taken up to 1e11 (year 5138),
 *   so that no plausible ms value is read as seconds.
 */
export function parseInstant(value: unknown): number | undefined {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) {
    if (value < 1e11) return Math.round(value * 1e3)
    if (value < 1e14) return Math.round(value)
    if (value < 1e17) return Math.round(value / 1e3)
    if (value < 1e20) return Math.round(value / 1e6)
    return undefined
  }
  if (typeof value !== 'string') return undefined
  if (/^\d{9,20}(\.\d+)?$/.test(value)) return parseInstant(Number(value))
  if (!/^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)$/.test(value)) {
    return undefined
  }
  const at = Date.parse(value.replace(' ', 'T'))
  return Number.isFinite(at) ? at : undefined
}

function isObject(node: unknown): node is Record<string, unknown> {
  return typeof node === 'object' && node !== null && !Array.isArray(node)
}
