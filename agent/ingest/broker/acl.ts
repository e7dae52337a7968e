import { isReservedMqttTopic } from '../../../core/contract/topics.ts'
import { filterMatches } from '../topic-filter.ts'
import type { AclRule } from './acl-config.ts'

/** Who a client turned out to be. */
export interface Caller {
  clientId: string
  /** Undefined: it came without a user name. */
  user: string | undefined
  /** Whether it connects from this machine. */
  local: boolean
}

/** What one client may do, worked out once: its own names are filled in. */
export interface Access {
  mayPublish(topic: string): boolean
  /** Whether all that a valid filter matches may be read. */
  maySubscribe(filter: string): boolean
}

/** Without rules a device publishes what it likes, and only this machine listens in. */
const UNRULED = {
  local: { mayPublish: () => true, maySubscribe: () => true },
  far: { mayPublish: () => true, maySubscribe: () => false }
} satisfies Record<string, Access>

/**
 * Rules that allow, each for the clients it fits; what none of them allows is refused.
 *
 * A name is filled in for a placeholder only if it is one plain level: a client that calls itself
 * `+`, `#` or `a/b` gets nothing by rules that name it, so it can never widen a pattern.
 */
export function accessOf(rules: readonly AclRule[] | null, caller: Caller): Access {
  if (!rules) return caller.local ? UNRULED.local : UNRULED.far
  const fitting = rules.filter(rule => fits(rule, caller))
  const publish = fitting.flatMap(rule => filled(rule.publish, caller))
  const subscribe = fitting.flatMap(rule => filled(rule.subscribe, caller))
  // A device publishes to few topics, again and again.
  let allowed: string | undefined
  return {
    mayPublish: topic => {
      if (topic === allowed) return true
      if (!publish.some(pattern => filterMatches(pattern, topic))) return false
      allowed = topic
      return true
    },
    maySubscribe: filter => subscribe.some(pattern => covers(pattern, filter))
  }
}

/**
 * Whether all topics that `filter` matches are matched by `pattern`; both are valid filters.
 * Source: MQTT 3.1.1 §4.7.
 */
export function covers(pattern: string, filter: string): boolean {
  const [wanted, levels] = [pattern.split('/'), filter.split('/')]
  if (levels[0].startsWith('$') && /^[+#]/.test(pattern)) return false
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || levels[index] === '#') return false
    if (level !== '+' && level !== levels[index]) return false
  }
  return wanted.length === levels.length
}

function fits(rule: AclRule, { user, clientId }: Caller): boolean {
  if (rule.anonymous !== undefined && rule.anonymous !== (user === undefined)) return false
  if (rule.user !== undefined && (user === undefined || !globMatches(rule.user, user))) return false
  return rule.client === undefined || globMatches(rule.client, clientId)
}

function filled(patterns: readonly string[], { user, clientId }: Caller): string[] {
  return patterns.flatMap(pattern => {
    const needs = (name: string) => pattern.includes(`{${name}}`)
    if (needs('user') && !isPlainLevel(user)) return []
    if (needs('client') && !isPlainLevel(clientId)) return []
    // As the first level a name could be one of Fieldline's own.
    if (pattern.startsWith('{user}') && isReservedMqttTopic(`${user}`)) return []
    if (pattern.startsWith('{client}') && isReservedMqttTopic(clientId)) return []
    // In one pass, so that a name that holds a placeholder is left as it is.
    return pattern.replace(/\{(user|client)\}/g, (_, name) =>
      name === 'user' ? (user ?? '') : clientId
    )
  })
}

function isPlainLevel(name: string | undefined): boolean {
  return name !== undefined && name !== '' && !/[/+#\0]/.test(name)
}

/** `*` stands for any letters, none included. In time linear in both, whatever a stranger sends. */
function globMatches(glob: string, name: string): boolean {
  const [head, ...parts] = glob.split('*')
  if (parts.length === 0) return name === glob
  const tail = parts.pop() as string
  if (!name.startsWith(head) || name.length < head.length + tail.length) return false
  if (!name.endsWith(tail)) return false
  let at = head.length
  for (const part of parts) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > name.length - tail.length) return false
    at = found + part.length
  }
  return true
}
