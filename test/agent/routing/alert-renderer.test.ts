import { expect, test } from 'vitest'
import { renderAlerts } from '../../../agent/routing/alert-renderer.ts'
import { toDeadLetter } from '../../../agent/routing/dead-letter.ts'

const EPOCH = '1-9f2c03d1a7b4e655'
const NOW = 1_795_336_000_000
const render = renderAlerts('gateway-7', 'fieldline.alerts', 'fieldline.dead-letters')

const frame = (value: unknown) => ({
  epoch: EPOCH,
  offset: 12,
  payload: Buffer.from(JSON.stringify(value))
})

test('each event of a frame is one record, with the frame’s id and its number in it', () => {
  const event = (device: string) => ({ id: `x#${device}`, data: { site: 'p', device } })
  const events = [event('a'), event('b')]
  const records = render(frame({ source: { epoch: EPOCH, offset: 7 }, events }), NOW)
  expect(records).toEqual(
    ['a', 'b'].map((device, index) => ({
      topic: 'fieldline.alerts',
      key: `p/${device}`,
      value: Buffer.from(JSON.stringify(event(device))),
      timestampMs: NOW,
      headers: {
        'content-type': 'application/cloudevents+json',
        'fl-id': `gateway-7/${EPOCH}/12/${index}`
      }
    }))
  )
})

test.each([null, {}, { source: { epoch: EPOCH, offset: 1 }, events: [null] }, 'x'])(
  'a record %j of the alert log is a dead letter, and the lane goes on',
  value => {
    const [letter] = render(frame(value), NOW)
    expect(letter).toMatchObject({
      topic: 'fieldline.dead-letters',
      key: 'gateway-7',
      value: Buffer.from(JSON.stringify(value)),
      headers: { 'fl-reason': 'unknown_record', 'fl-id': `gateway-7/${EPOCH}/12` }
    })
  }
)

test('of a record too large for Kafka the dead letter keeps the first 64 KiB, and says so', () => {
  const record = {
    topic: 't',
    key: 'k',
    value: Buffer.alloc(70_000, 7),
    timestampMs: NOW,
    headers: { a: 'b' }
  }
  const letter = toDeadLetter(record, 'dead', 'produce', 'too_large', 'x'.repeat(600))
  expect(letter).toMatchObject({ topic: 'dead', key: 'k', timestampMs: NOW })
  expect(letter.value).toHaveLength(65_536)
  expect(letter.headers).toEqual({
    a: 'b',
    'fl-bytes': '70000',
    'fl-stage': 'produce',
    'fl-reason': 'too_large',
    'fl-detail': `${'x'.repeat(500)}; first 65536 of 70000 bytes kept`
  })
  expect(toDeadLetter(record, 'dead', 'produce', 'refused', '').value).toHaveLength(70_000)
  expect(record.headers).toEqual({ a: 'b' })
})
