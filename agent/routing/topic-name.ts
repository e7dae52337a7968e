import { TOPICS } from '../../core/contract/topics.ts'

/** What a route's topic template may use of a message. */
export interface TopicParts {
  readonly site: string
  readonly device: string
  readonly metric: string | undefined
}

export type FilledTopic = { ok: true; topic: string } | { ok: false; detail: string }

const TOPIC_CHARS_MAX = 249
/** A device called `cursors` must not write into `fieldline.{device}`'s namesake. */
const OWN_TOPICS = Object.values(TOPICS).filter(name => name !== TOPICS.telemetry)

/** Kafka topics that no route may lead to. */
export function forbiddenTopics(
  configured: readonly (string | null | undefined)[]
): ReadonlySet<string> {
  return new Set([...OWN_TOPICS, ...configured.filter(topic => typeof topic === 'string')])
}

/**
 * Fills a topic template. The parts come from strangers: every character beyond letters, digits, `_`
 * and `-` becomes `_`, so the topic stays behind the template's literal prefix.
 *
 * @param forbidden See `forbiddenTopics`.
 */
export function fillTopic(
  template: string,
  parts: TopicParts,
  forbidden: ReadonlySet<string>
): FilledTopic {
  if (!template.includes('{')) {
    if (forbidden.has(template)) return refused(`'${template}' is not for telemetry`)
    return { ok: true, topic: template }
  }
  let missing: string | undefined
  const topic = template.replace(/\{(site|device|metric)\}/g, (_, name: keyof TopicParts) => {
    const part = parts[name]
    if (part === undefined) missing = name
    return (part ?? '').replace(/[^A-Za-z0-9_-]/g, '_')
  })
  if (missing) return refused(`'${template}' uses {${missing}}, which the message does not name`)
  if (topic.length > TOPIC_CHARS_MAX) {
    const chars = `${topic.length} characters, Kafka takes ${TOPIC_CHARS_MAX}`
    return refused(`'${template}' gives a topic of ${chars}`)
  }
  if (forbidden.has(topic)) return refused(`'${template}' gives '${topic}', not for telemetry`)
  if (topic.startsWith('__')) return refused(`'${template}' gives '${topic}', Kafka's own`)
  return { ok: true, topic }
}

function refused(detail: string): FilledTopic {
  return { ok: false, detail }
}
