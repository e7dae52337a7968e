import { z } from 'zod'
import { checkKafkaTopic, name, refuseRepeated, text } from '../runtime/config-fields.ts'
import { TopicTemplate } from './topic-template.ts'
import { isReservedMqttTopic, TOPICS } from './topics.ts'

const PLACEHOLDERS = ['site', 'device', 'metric'] as const

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
    fields: z
      .array(text())
      .min(1)
      .max(1000)
      .optional()
      .describe('Leaves of a JSON payload that become series; all numeric ones when absent')
  })
  .superRefine((route, context) => {
    const complain = (field: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [field], message })
    for (const template of asList(route.match).map(match => new TopicTemplate(match))) {
      const missing = (wanted: string): boolean => !template.names.includes(wanted)
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
    fields: route.fields
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
      const other = routes.slice(0, index).find(before => leadToOneTopic(before, route))
      if (!other) continue
      const message = `routes '${other.name}' and '${route.name}' lead the same messages to '${route.topic}', which would store them twice`
      context.addIssue({ code: 'custom', path: [index, 'match'], message })
    }
  })

export const DEFAULT_ROUTE = {
  name: 'default',
  match: ['telemetry/{site}/{device}', 'telemetry/{site}/{device}/{metric}'],
  topic: TOPICS.telemetry
} as const

function leadToOneTopic(a: RouteConfig, b: RouteConfig): boolean {
  const topic = ({ topic, site }: RouteConfig): string => topic.replace('{site}', site ?? '{site}')
  if (topic(a) !== topic(b)) return false
  return a.match.some(one => b.match.some(other => overlap(one.split('/'), other.split('/'))))
}

/** Whether some MQTT topic matches both templates. */
function overlap([a, ...restOfA]: readonly string[], [b, ...restOfB]: readonly string[]): boolean {
  // A last '#' takes whatever the other still has, nothing included.
  if (a === '#' || b === '#') return true
  if (a === undefined || b === undefined) return a === b
  const open = (level: string): boolean => level === '+' || level.startsWith('{')
  return (open(a) || open(b) || a === b) && overlap(restOfA, restOfB)
}

function checkMatch(value: string): void {
  const template = new TopicTemplate(value)
  if (isReservedMqttTopic(value)) {
    throw new SyntaxError(`'${value}' can never match: devices may not publish there`)
  }
  if (!template.names.includes('device')) {
    throw new SyntaxError(`'${value}' does not name {device}`)
  }
}

function checkTopic(value: string): void {
  const names = [...value.matchAll(/\{([^}]*)\}/g)].map(([, found]) => found)
  const unknown = names.find(found => !(PLACEHOLDERS as readonly string[]).includes(found))
  if (unknown !== undefined) {
    throw new SyntaxError(`{${unknown}} cannot be used here; {site}, {device} and {metric} can`)
  }
  if (value.startsWith('{')) throw new SyntaxError('needs a literal prefix before the first {…}')
  checkKafkaTopic(value.replaceAll(/\{[^}]*\}/g, 'x'))
  const own: readonly string[] = Object.values(TOPICS).filter(topic => topic !== TOPICS.telemetry)
  if (own.includes(value)) throw new SyntaxError(`'${value}' is one of Fieldline's own topics`)
}

function checkSite(value: string): void {
  if (/[/+#\0]/.test(value)) throw new SyntaxError("a site is one level: no '/', '+' or '#'")
}

function asList(match: string | string[]): string[] {
  return typeof match === 'string' ? [match] : match
}
