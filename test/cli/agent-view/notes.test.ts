import { expect, test } from 'vitest'
import { certificateNotes, notesOn, type SeenStatus } from '../../../cli/agent-view/notes.ts'
import { verdictOn } from '../../../cli/agent-view/verdict.ts'
import { CERTIFICATE_WARNING_MS } from '../../../core/runtime/tls-files.ts'
import { type StatusWishes, someStatus } from './some-status.ts'

const NOW = 1_800_000_000_000
const DAY = 86_400_000

const texts = (wishes: StatusWishes, more: Partial<SeenStatus> = {}) =>
  notesOn({ ...someStatus(wishes), ...more }, NOW).map(({ level, text }) => `${level}: ${text}`)

const listeners = (expiresAt: number, error?: string) => {
  const certificate = { subject: 'CN=x', expiresAt, ...(error ? { error } : {}) }
  const listener = { address: '0.0.0.0:8883', protocol: 'mqtts' as const, certificate }
  return { ...someStatus().mqtt, listeners: [listener] } as NonNullable<SeenStatus['mqtt']>
}

test('an agent that is well has nothing to note', () => {
  expect(texts({ stored: 5, delivered: 5 })).toEqual([])
})

test('what is lost comes first, what is set aside next, each by what happened', () => {
  const drops = { 'log.full': 1200, 'log.age': 0 }
  expect(texts({ parts: { deadLetters: { no_route: 2 }, drops } })).toEqual([
    'critical: Lost since start: 1,200 dropped, log full.',
    'warning: Set aside since start: 2 dead letters, no route.'
  ])
})

test('a certificate is told of three weeks before its end, and when its files were exchanged in vain', () => {
  const of = (expiresAt: number, error?: string) =>
    certificateNotes({ mqtt: listeners(expiresAt, error) }, NOW)
  expect(of(NOW + CERTIFICATE_WARNING_MS)).toEqual([])
  expect(of(NOW + 20 * DAY)).toMatchObject([{ level: 'warning' }])
  expect(of(NOW + 20 * DAY)[0].text).toContain('mqtts://0.0.0.0:8883 expires in 20 d')
  expect(of(NOW - DAY)).toMatchObject([{ level: 'critical' }])
  expect(of(NOW + 99 * DAY, 'key of another').map(({ text }) => text)).toEqual([
    'The certificate of mqtts://0.0.0.0:8883: its new files are not in use. key of another'
  ])
})

test('an expired certificate is not well, however readings stream', () => {
  const status = someStatus({ stored: 5, delivered: 5, parts: { mqtt: listeners(NOW - DAY) } })
  const parts = { look: undefined, inBytesPerS: 0, overflow: undefined, now: NOW }
  expect(verdictOn({ status, ...parts })).toMatchObject({
    level: 'critical',
    title: 'A certificate has expired'
  })
})

test('a file that is not in effect and what waits for a restart are noted', () => {
  const lastError = { message: 'routes[0]: no topic', at: NOW - 60_000 }
  const config = { hash: 'a', reloadedAt: null, lastError, needsRestart: ['mqtt.listen'] }
  const [refused, waits] = texts({}, { config })
  expect(refused).toMatch(/^warning: .*not in effect: routes\[0\]: no topic/)
  expect(waits).toBe('warning: Waits for a restart: mqtt.listen')
})

test('an upstream tells why it is away, once', () => {
  const upstream = {
    ...{ name: 'hall-2', state: 'waiting', sinceAt: NOW - 7000, lastError: 'connect ECONNREFUSED' },
    ...{ granted: {}, oversized: 0 }
  }
  const upstreams = (more: object) => ({
    upstreams: [{ ...upstream, ...more }] as unknown as SeenStatus['upstreams']
  })
  expect(texts({ parts: upstreams({}) })).toEqual([
    'warning: Upstream hall-2: away for 7 s: connect ECONNREFUSED'
  ])
  expect(texts({ parts: upstreams({ trouble: 'never_connected' }) })).toEqual([
    'warning: Upstream hall-2: never reached: connect ECONNREFUSED'
  ])
  const refused = { state: 'connected', lastError: undefined, granted: { 'a/#': 'not authorized' } }
  expect(texts({ parts: upstreams(refused) })).toEqual([
    'warning: Upstream hall-2: the subscription to a/# is refused: not authorized'
  ])
})

test('the fleet that hears nothing is noted while Kafka takes readings, else it is the same trouble', () => {
  const lastError = { code: 'X', message: 'no such topic', sinceAt: NOW - 60_000 }
  const statusTopic = { topic: 'fieldline.status', state: 'refused' as const, lastError }
  expect(texts({ parts: { statusTopic } })).toEqual([
    'warning: The fleet has not heard of this agent for 1 min: no such topic'
  ])
  expect(texts({ mode: 'buffering', parts: { statusTopic } })).toEqual([])
})

test('who was not let in is told by reason', () => {
  const mqtt = { ...someStatus().mqtt, refused: { credentials: 3 }, malformed: 0 }
  expect(texts({ parts: { mqtt: mqtt as SeenStatus['mqtt'] } })).toEqual([
    'info: Not let in since start: 3 credentials.'
  ])
})

test('after a loss an outage does not say that nothing is lost', () => {
  const status = someStatus({ mode: 'buffering', parts: { drops: { 'log.full': 3 } } })
  const parts = { look: undefined, inBytesPerS: 0, overflow: undefined, now: NOW }
  expect(verdictOn({ status, ...parts }).title).toBe('Kafka is away; readings are kept')
})
