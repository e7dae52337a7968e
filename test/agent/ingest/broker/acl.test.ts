import { expect, test } from 'vitest'
import { accessOf, covers } from '../../../../agent/ingest/broker/acl.ts'
import { aclSchema } from '../../../../agent/ingest/broker/acl-config.ts'

const caller = (user: string | undefined, clientId = 'c', local = false) => ({
  ...{ user, clientId, local }
})

test('without rules all may publish, and this machine alone may subscribe', () => {
  for (const local of [true, false]) {
    const access = accessOf(null, caller(undefined, 'c', local))
    expect(access.mayPublish('any/thing')).toBe(true)
    expect(access.maySubscribe('#')).toBe(local)
    expect(access.maySubscribe('alerts/#')).toBe(local)
  }
})

test('without a rule that fits nothing is allowed', () => {
  const access = accessOf([], caller('u', 'c', true))
  expect(access.mayPublish('t')).toBe(false)
  expect(access.maySubscribe('t')).toBe(false)
})

const RULES = aclSchema.parse([
  { user: 'pump-*', publish: ['telemetry/+/{user}/#'], subscribe: ['commands/{user}/+'] },
  { client: 'screen', anonymous: true, subscribe: ['alerts/#', 'state/+/now'] },
  { anonymous: false, publish: ['status/{client}'] }
])

test.each([
  ['pump-1', 'c', 'publish', 'telemetry/plant7/pump-1', true],
  ['pump-1', 'c', 'publish', 'telemetry/plant7/pump-1/temperature', true],
  ['pump-1', 'c', 'publish', 'telemetry/plant7/pump-2', false],
  ['pump-1', 'c', 'publish', 'telemetry/plant7', false],
  ['pump-1', 'c', 'publish', 'status/c', true],
  ['pump-1', 'c', 'publish', 'status/d', false],
  ['pump-1', 'c', 'subscribe', 'commands/pump-1/start', true],
  ['pump-1', 'c', 'subscribe', 'commands/pump-1/+', true],
  ['pump-1', 'c', 'subscribe', 'commands/pump-1/#', false],
  ['pump-1', 'c', 'subscribe', 'commands/+/start', false],
  ['fan-1', 'c', 'publish', 'telemetry/plant7/fan-1', false],
  [undefined, 'c', 'publish', 'status/c', false],
  [undefined, 'screen', 'subscribe', 'alerts/#', true],
  [undefined, 'screen', 'subscribe', 'alerts/plant7/+/x', true],
  [undefined, 'screen', 'subscribe', 'alerts', true],
  [undefined, 'screen', 'subscribe', 'state/+/now', true],
  [undefined, 'screen', 'subscribe', 'state/#', false],
  [undefined, 'screen', 'subscribe', '#', false],
  ['u', 'screen', 'subscribe', 'alerts/#', false]
] as const)('%s as %s may %s %s: %s', (user, clientId, action, topic, allowed) => {
  const access = accessOf(RULES, caller(user, clientId))
  const may = action === 'publish' ? access.mayPublish(topic) : access.maySubscribe(topic)
  expect(may).toBe(allowed)
})

const NAMES = [
  '+',
  '#',
  'a/b',
  '/',
  '',
  'x+',
  '#x',
  '\0',
  '{client}',
  '{user}',
  '$SYS',
  'alerts',
  'pump-1/#'
]

test.each(NAMES)('a client called %j never widens a pattern', name => {
  const rules = aclSchema.parse([
    { publish: ['t/{client}/#', '{user}/x'], subscribe: ['t/{client}/+', '{user}'] }
  ])
  const access = accessOf(rules, caller(name, name))
  for (const topic of ['t/other/x', 't/a/b', 't/a', 'other/x', 't/pump-1/x', 'b/x']) {
    expect(access.mayPublish(topic)).toBe(false)
    expect(access.maySubscribe(topic)).toBe(false)
  }
  for (const filter of ['#', '+', 't/#', 't/+/+', 't/+/#', '+/x', '$SYS', 'alerts']) {
    expect(access.maySubscribe(filter)).toBe(false)
  }
})

test('a name that holds a placeholder is taken as it is', () => {
  const [rule] = aclSchema.parse([{ publish: ['{user}/{client}'] }])
  const access = accessOf([rule], caller('{client}', 'c'))
  expect(access.mayPublish('{client}/c')).toBe(true)
  expect(access.mayPublish('c/c')).toBe(false)
})

test.each([
  ['#', 'a/b', true],
  ['#', '#', true],
  ['#', '+/a', true],
  ['#', '$SYS/#', false],
  ['+/a', '$SYS/a', false],
  ['$SYS/#', '$SYS/a', true],
  ['a/#', 'a', true],
  ['a/#', 'a/#', true],
  ['a/+', 'a/#', false],
  ['a/+', 'a/+', true],
  ['a/b', 'a/+', false],
  ['a/+/c', 'a/b/c', true],
  ['a/+', 'a', false],
  ['a', 'a/#', false],
  ['a/+/#', 'a/#', false],
  ['a/#', 'a/+/#', true],
  ['a/', 'a/', true],
  ['a/+', 'a/', true]
])('%s covers %s: %s', (pattern, filter, expected) => {
  expect(covers(pattern, filter)).toBe(expected)
})

test.each([
  ['pump-*', 'pump-', true],
  ['pump-*', 'pump', false],
  ['*-1', 'pump-1', true],
  ['a*b*c', 'a-b-c', true],
  ['a*b*c', 'acb', false],
  ['a*bc*c', 'abc', false],
  ['*', '', true],
  ['ab*ba', 'aba', false],
  ['pump.1', 'pump-1', false]
])('the user pattern %s fits %j: %s', (user, name, expected) => {
  const rules = aclSchema.parse([{ user, publish: ['t'] }])
  expect(accessOf(rules, caller(name)).mayPublish('t')).toBe(expected)
})

test.each([
  [{ publish: ['a/#/b'] }, "'#' the last one"],
  [{ publish: ['a+'] }, 'is no topic filter'],
  [{ publish: ['{device}/x'] }, 'no placeholder'],
  [{ user: 'a' }, 'allows nothing'],
  [{ user: 'a', anonymous: true, publish: ['t'] }, 'no user name'],
  [{ anonymous: true, publish: ['{user}'] }, 'no {user}'],
  [{ user: '#', publish: ['t'] }, "by '*'"]
])('the rule %j is refused: %s', (rule, message) => {
  expect(aclSchema.safeParse([rule]).error?.message).toContain(message)
})
