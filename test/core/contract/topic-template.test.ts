import { expect, test } from 'vitest'
import { TopicTemplate } from '../../../core/contract/topic-template.ts'
import { isReservedMqttTopic } from '../../../core/contract/topics.ts'

const match = (template: string, topic: string) => new TopicTemplate(template).match(topic)

test.each([
  ['telemetry/{site}/{device}', 'telemetry/p/d', { site: 'p', device: 'd' }],
  ['telemetry/{site}/{device}', 'telemetry/p/d/m', undefined],
  ['telemetry/{site}/{device}', 'telemetry/p', undefined],
  ['telemetry/{site}/{device}', 'Telemetry/p/d', undefined],
  ['{device}', 'é漢🚀', { device: 'é漢🚀' }],
  ['+/{device}', 'anything/d', { device: 'd' }],
  ['+/{device}', '/d', { device: 'd' }],
  ['{constructor}/{device}', 'x/d', { constructor: 'x', device: 'd' }]
])('%s on %s gives %j', (template, topic, names) => {
  expect(match(template, topic)).toEqual(names)
})

test("a last '#' keeps the rest, zero levels or more, as {rest}", () => {
  expect(match('s/{device}/#', 's/d/a/b/c')).toEqual({ device: 'd', rest: 'a/b/c' })
  expect(match('s/{device}/#', 's/d/')).toEqual({ device: 'd', rest: '' })
  expect(match('s/{device}/#', 's/d')).toEqual({ device: 'd', rest: '' })
  expect(match('s/{device}/#', 's')).toBeUndefined()
})

test('an empty level makes no site and no device', () => {
  for (const topic of ['telemetry//d', 'telemetry/p/', 'telemetry//', '/p/d']) {
    expect(match('telemetry/{site}/{device}', topic), topic).toBeUndefined()
  }
})

test.each(['a/#/b', 'a+', '#a', '{Site}', '{a}{b}', '{}', 'x{a}', '{rest}/#', '{a}/{a}'])(
  '%s is no template, and the message names it',
  text => expect(() => new TopicTemplate(text)).toThrow(text.includes('{a}/') ? '{a}' : SyntaxError)
)

test('devices may not publish under alerts, fieldline or any $ level', () => {
  for (const topic of ['alerts', 'alerts/x', 'fieldline/x', '$SYS/x', '$share/g/t', '$']) {
    expect(isReservedMqttTopic(topic), topic).toBe(true)
  }
  for (const topic of ['alerts2/x', 'a/alerts/x', 'fieldlines', '/alerts', 'a/$SYS']) {
    expect(isReservedMqttTopic(topic), topic).toBe(false)
  }
})

test('a topic split beforehand matches as the whole one does', () => {
  const template = new TopicTemplate('a/{device}/#')
  for (const topic of ['a/b', 'a/b/c/d', 'a', 'a//x', 'b/b']) {
    expect(template.matchLevels(topic.split('/'))).toEqual(template.match(topic))
  }
})
