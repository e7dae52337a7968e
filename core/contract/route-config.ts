import { z } from 'zod'
import { bytes, checkKafkaTopic, name, refuseRepeated, text } from '../runtime/config-fields.ts'
import { nearestName } from '../runtime/nearest.ts'
import { fieldsSchema } from './route-fields.ts'
import { leadToOneTopic, leavesNothing } from './route-overlap.ts'
import { TopicTemplate } from './topic-template.ts'
import { isReservedMqttTopic, TOPICS } from './topics.ts'

const PLACEHOLDERS = ['site', 'device', 'metric'] as const

/** Static headers cost their bytes in every record. */
const HEADERS_MAX = 16
const HEADER_BYTES_MAX = 1024

const qos = z.literal([0, 1, 2])

const whereSchema = z
  .strictObject({
    qos: z
      .union([qos, z.array(qos).min(1).max(3)])
      .optional()
      .describe('Quality of service that the message was published with, or a list of them'),
    retained: z
      .boolean()
      .optional()
      .describe("Whether its RETAIN flag is set: an upstream broker's echo of an older message"),
    bytes_min: bytes().optional().describe('Least size of the payload'),
    bytes_max: bytes().optional().describe('Greatest size of the payload')
  })
  .superRefine((where, context) => {
    const complain = (message: string): void =>
      context.addIssue({ code: 'custom', path: [], message })
    if (Object.values(where).every(value => value === undefined)) complain('names no condition')
    const { bytes_min: min, bytes_max: max } = where
    if (min !== undefined && max !== undefined && min > max) {
      complain('no payload can be smaller than bytes_max and larger than bytes_min')
    }
  })
  .transform(where => ({
    ...(where.qos === undefined ? {} : { qos: [where.qos].flat() }),
    ...(where.retained === undefined ? {} : { retained: where.retained }),
    ...(where.bytes_min === undefined ? {} : { bytesMin: where.bytes_min }),
    ...(where.bytes_max === undefined ? {} : { bytesMax: where.bytes_max })
  }))

const routeSchema = z
  .strictObject({
    name: name().describe('Name in metrics and log lines'),
    match: z
      .union([text(checkMatch), z.array(text(checkMatch)).min(1).max(100)])
      .describe(
        'MQTT topic template or a list of them: literal levels, `{site}`, `{device}`, `{metric}` or another name for one level, `+` for one without a name, a last `#` for the rest'
      ),
    site: text(checkSite)
      .optional()
      .describe('Site of every message of this route, where the topic does not name it'),
    topic: text(checkTopic)
      .default(TOPICS.telemetry)
      .describe('Kafka topic; may use `{site}`, `{device}` and `{metric}` behind a literal prefix'),
    codec: z
      .enum(['json', 'number', 'raw'])
      .default('json')
      .describe('How payloads are read: `raw` never, so they are never scored'),
    value: z
      .enum(['payload', 'reading'])
      .default('payload')
      .describe("Kafka value: the device's bytes untouched, or a reading in Fieldline's own JSON"),
    fields: fieldsSchema
      .optional()
      .describe(
        'Leaves of a JSON payload that become series, each a name or `{ name, as, unit, scale, offset }`: the value is the number sent × `scale` + `offset`; all numeric ones as they are when absent'
      ),
    where: whereSchema
      .optional()
      .describe('Only messages that meet all of these conditions; the others are not matched'),
    headers: z
      .record(z.string(), z.string())
      .superRefine(checkHeaders)
      .optional()
      .describe('Kafka headers of every record of this route: at most 16 and 1 KiB in all'),
    mqtt_properties: z
      .array(text(checkHeaderName))
      .min(1)
      .max(HEADERS_MAX)
      .optional()
      .describe(
        'MQTT 5 properties that become Kafka headers of the same name: user properties such as `traceparent`, and `content-type`, `message-expiry`, `response-topic`, `correlation-data`'
      ),
    sample: z
      .number()
      .meta({ minimum: 0, maximum: 1 })
      .superRefine(checkShare)
      .optional()
      .describe(
        'Share of the readings that is kept, such as `0.1`; which ones hangs on `fl-id` alone, so retries and restarts choose the same'
      ),
    drop: z
      .boolean()
      .default(false)
      .describe('Throw away what matches: the routes below do not see it, those above do')
  })
  .superRefine((route, context) => {
    const complain = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message })
    if (route.drop) {
      for (const field of idleFields(route)) {
        complain(field, 'has no effect in a route that drops what it matches')
      }
      return
    }
    for (const template of asList(route.match).map(match => new TopicTemplate(match))) {
      const missing = (wanted: string): boolean => !template.names.includes(wanted)
      if (missing('device')) complain('match', `'${template.text}' does not name {device}`)
      if (missing('site') && route.site === undefined) {
        complain('match', `'${template.text}' does not name {site}: name it, or give 'site:'`)
      }
      if (!missing('site') && route.site !== undefined) {
        complain('site', `'${template.text}' names {site} already`)
      }
      if (route.topic.includes('{metric}') && missing('metric')) {
        complain('topic', `uses {metric}, which '${template.text}' does not name`)
      }
    }
    const twice = route.mqtt_properties?.find(property => route.headers?.[property] !== undefined)
    if (twice !== undefined) complain('mqtt_properties', `'${twice}' is a static header already`)
    if (route.value === 'reading' && route.codec === 'raw') {
      complain('value', "'reading' needs a codec that reads the payload, 'raw' does not")
    }
  })
  .transform(route => ({
    name: route.name,
    match: asList(route.match),
    site: route.site,
    topic: route.topic,
    codec: route.codec,
    value: route.value,
    fields: route.fields,
    ...(route.where ? { where: route.where } : {}),
    ...(route.headers ? { headers: route.headers } : {}),
    ...(route.mqtt_properties ? { mqttProperties: route.mqtt_properties } : {}),
    ...(route.sample === undefined ? {} : { sample: route.sample }),
    ...(route.drop ? { drop: true } : {})
  }))

/** Plain data, so that it can be handed to a worker thread. `match` texts are valid templates. */
export type RouteConfig = z.output<typeof routeSchema>

export const routesSchema = z
  .array(routeSchema)
  .min(1)
  .max(1000)
  .superRefine((routes, context) => {
    refuseRepeated(routes, 'name', context)
    for (const [index, route] of routes.entries()) {
      const complain = (message: string): void =>
        context.addIssue({ code: 'custom', path: [index, 'match'], message })
      const above = routes.slice(0, index)
      const other = above.find(before => leadToOneTopic(before, route))
      if (other) {
        complain(
          `routes '${other.name}' and '${route.name}' lead the same messages to '${route.topic}', which would store them twice`
        )
      }
      const dropping = above.find(before => leavesNothing(before, route))
      if (dropping) complain(`route '${dropping.name}' above drops all that this one matches`)
    }
  })

export const DEFAULT_ROUTE = {
  name: 'default',
  match: ['telemetry/{site}/{device}', 'telemetry/{site}/{device}/{metric}'],
  topic: TOPICS.telemetry
} as const

function checkMatch(value: string): void {
  new TopicTemplate(value)
  if (isReservedMqttTopic(value)) {
    throw new SyntaxError(`'${value}' can never match: devices may not publish there`)
  }
}

function checkTopic(value: string): void {
  const names = [...value.matchAll(/\{([^}]*)\}/g)].map(([, found]) => found)
  const unknown = names.find(found => !(PLACEHOLDERS as readonly string[]).includes(found))
  if (unknown !== undefined) {
    const meant = nearestName(unknown, PLACEHOLDERS)
    const hint = meant ? ` (did you mean {${meant}}?)` : ''
    throw new SyntaxError(
      `{${unknown}} cannot be used here; {site}, {device} and {metric} can${hint}`
    )
  }
  if (value.startsWith('{')) throw new SyntaxError('needs a literal prefix before the first {…}')
  checkKafkaTopic(value.replaceAll(/\{[^}]*\}/g, 'x'))
  const own: readonly string[] = Object.values(TOPICS).filter(topic => topic !== TOPICS.telemetry)
  if (own.includes(value)) throw new SyntaxError(`'${value}' is one of Fieldline's own topics`)
  if (value.startsWith('__')) throw new SyntaxError("topics that begin with '__' are Kafka's own")
}

function checkShare(share: number, context: z.RefinementCtx): void {
  if (share > 0 && share <= 1) return
  const message = 'a share is above 0 and at most 1; to throw all away give `drop: true`'
  context.addIssue({ code: 'custom', message })
}

function checkHeaders(headers: Record<string, string>, context: z.RefinementCtx): void {
  const entries = Object.entries(headers)
  for (const [name] of entries) {
    const message = headerFault(name)
    if (message) context.addIssue({ code: 'custom', path: [name], message })
  }
  const size = entries.reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), 0)
  if (entries.length > HEADERS_MAX || size > HEADER_BYTES_MAX) {
    const message = `${entries.length} headers of ${size} bytes; at most ${HEADERS_MAX} of ${HEADER_BYTES_MAX} bytes in all, every record carries them`
    context.addIssue({ code: 'custom', message })
  }
}

function checkHeaderName(name: string): void {
  const fault = headerFault(name)
  if (fault) throw new SyntaxError(fault)
}

function headerFault(name: string): string | undefined {
  if (/^fl-/i.test(name)) return "names that begin with 'fl-' are Fieldline's own"
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name)) return undefined
  return 'a header name is 1 to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit'
}

/** Fields that were given, as far as a default does not hide it, and mean nothing to `drop`. */
function idleFields(route: Record<string, unknown>): string[] {
  const usual: Record<string, unknown> = {
    ...{ site: undefined, topic: TOPICS.telemetry, codec: 'json', value: 'payload' },
    ...{ fields: undefined, headers: undefined, mqtt_properties: undefined, sample: undefined }
  }
  return Object.keys(usual).filter(field => route[field] !== usual[field])
}

function checkSite(value: string): void {
  if (/[/+#\0]/.test(value)) throw new SyntaxError("a site is one level: no '/', '+' or '#'")
}

function asList(match: string | string[]): string[] {
  return typeof match === 'string' ? [match] : match
}
