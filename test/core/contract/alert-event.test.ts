import { expect, test } from 'vitest'
import {
  type AlertData,
  alertEvent,
  alertId,
  alertMqttTopic,
  decodeAlertFrame,
  encodeAlertFrame,
  seriesSubject
} from '../../../core/contract/alert-event.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const SEED = 3

function alertData(changes: Partial<AlertData> = {}): AlertData {
  return {
    alertId: 'p/d/m/anomaly/1',
    state: 'raised',
    kind: 'anomaly',
    severity: 'warning',
    site: 'p',
    device: 'd',
    metric: 'm',
    score: 0.9,
    threshold: 0.8,
    detector: { name: 'auto', version: '1', params: {} },
    startedAt: '2026-11-22T08:26:40.000Z',
    at: '2026-11-22T08:26:41.000Z',
    peak: { score: 0.9, at: '2026-11-22T08:26:40.000Z' },
    samples: 1,
    contributions: [{ metric: 'm', share: 1 }],
    reason: 'high',
    late: false,
    ...changes
  }
}

test('an alert is a CloudEvent as CONTRACT shows it', () => {
  const subject = seriesSubject('plant7', 'pump-3', 'temperature')
  const id = alertId(subject, 'anomaly', 1_795_336_000_000)
  expect(id).toBe('plant7/pump-3/temperature/anomaly/1795336000000')
  const data = alertData({ alertId: id, site: 'plant7', device: 'pump-3', metric: 'temperature' })
  expect(alertEvent('/fieldline/gateway-7', 2, data)).toEqual({
    specversion: '1.0',
    id: `${id}#2`,
    source: '/fieldline/gateway-7',
    type: 'io.fieldline.alert.raised',
    subject,
    time: data.at,
    datacontenttype: 'application/json',
    dataschema: 'urn:fieldline:schema:alert-v1.json',
    data
  })
  expect(alertMqttTopic(data)).toBe('alerts/plant7/pump-3/temperature/anomaly')
})

test.each(['a/b', '+', '#', '$SYS', 'é漢🚀', '\ud800', 'x\udfff', '%2F', '\0', ' ', '\u2028'])(
  'strangers’ %j in names makes a safe alert topic of five levels and an id',
  name => {
    const data = { site: name, device: name, metric: name, kind: 'anomaly' as const }
    const topic = alertMqttTopic(data)
    expect(topic.split('/')).toHaveLength(5)
    expect(topic).toMatch(/^[!-~]+$/)
    expect(topic).not.toMatch(/[+#]/)
    expect(seriesSubject(name, name, name).split('/')).toHaveLength(3)
  }
)

test('series whose names differ have subjects that differ', () => {
  expect(seriesSubject('a/b', 'c', 'd')).not.toBe(seriesSubject('a', 'b/c', 'd'))
})

test('a frame of the alert log comes back as it was', () => {
  const frame = {
    source: { epoch: '1-00000000000000ff', offset: 7 },
    events: [alertEvent('/fieldline/a', 1, alertData({ device: 'é' }))]
  }
  expect(decodeAlertFrame(encodeAlertFrame(frame))).toEqual(frame)
})

test.each([
  'null',
  '5',
  '[]',
  '{}',
  '{"events":[],"source":null}',
  '{"events":[],"source":{"epoch":"1"}}',
  '{"events":[null],"source":{"epoch":"1","offset":1}}',
  '{"events":[{"id":"x"}],"source":{"epoch":"1","offset":1}}'
])('%s is no alert frame', text => {
  expect(decodeAlertFrame(Buffer.from(text))).toBeUndefined()
})

test(`damaged frames are no frames, never an exception (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const whole = encodeAlertFrame({
    source: { epoch: '1-00000000000000ff', offset: 7 },
    events: [alertEvent('/fieldline/a', 1, alertData())]
  })
  for (let n = 0; n < 20_000; n++) {
    const bytes = Buffer.from(whole.subarray(0, n % 2 ? prng.int(whole.length) : whole.length))
    if (bytes.length > 0) bytes[prng.int(bytes.length)] = prng.int(256)
    for (const event of decodeAlertFrame(bytes)?.events ?? []) {
      expect(typeof event.data.device).toBe('string')
    }
  }
})
