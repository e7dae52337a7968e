import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { SecretFile } from '../../../core/runtime/secrets.ts'
import { TestAuthority } from '../../kit/certificates.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import {
  append,
  appendFrame,
  event,
  openAlertLog,
  receiver,
  STARTED_AT,
  startSinks,
  until
} from './sink-kit.ts'

const SECRET = 'tok-1f0b2c93d4e5'

async function started(fields: object = {}, config: object = {}) {
  const directory = temporaryDirectory()
  const [hook, log] = [await receiver(), await openAlertLog(directory)]
  const webhooks = [{ name: 'ops', url: hook.url, ...fields }]
  const { sinks, lines } = await startSinks(directory, log, { webhooks, ...config })
  return { hook, log, sinks, lines, directory, status: () => sinks.status[0] }
}

const labels = {
  alertname: 'FieldlineAnomaly',
  site: 'plant7',
  device: 'pump-3',
  metric: 'temperature',
  kind: 'anomaly',
  severity: 'warning',
  agent: 'gateway-7'
}

test("an alert is posted as Alertmanager's API v2 takes it, field by field", async () => {
  const { hook, log, status } = await started()
  await append(log, event(1, 'raised'))
  await until(() => hook.requests.length === 1)
  const [{ path: where, headers, body }] = hook.requests
  expect(where).toBe('/api/v2/alerts')
  expect(headers['content-type']).toBe('application/json')
  expect(body).toEqual([
    {
      labels,
      annotations: {
        summary: 'anomaly of plant7/pump-3 temperature',
        description: '5.3 σ above what this hour of day usually shows',
        value: '97.1',
        unit: '°C',
        expected: '61.8',
        lower: '55.2',
        upper: '68.4',
        score: '0.93',
        threshold: '0.8',
        peak_score: '0.97',
        peak_value: '99',
        samples: '4',
        contributions: 'temperature 100 %',
        detector: 'auto 1',
        alert_id: `plant7/pump-3/temperature/anomaly/${STARTED_AT}`,
        event_id: 'gateway-7/1-9f2c03d1a7b4e655/184468'
      },
      startsAt: new Date(STARTED_AT).toISOString()
    }
  ])
  await append(log, event(2, 'cleared'))
  await until(() => hook.requests.length === 2)
  expect(hook.bodies[1]).toMatchObject([
    {
      labels,
      startsAt: new Date(STARTED_AT).toISOString(),
      endsAt: new Date(STARTED_AT + 2000).toISOString()
    }
  ])
  await until(() => status().delivered === 2)
  expect(status()).toMatchObject({ name: 'webhook.ops', state: 'delivering', openAlerts: 0 })
})

test('an end before the start, which Alertmanager refuses, is never sent', async () => {
  const { hook, log } = await started()
  await append(log, event(-5, 'cleared'))
  await until(() => hook.requests.length === 1)
  const [{ startsAt, endsAt }] = hook.bodies[0]
  expect(endsAt).toBe(startsAt)
})

test('a severity that rises resolves the alert of the lower one in the same post', async () => {
  const { hook, log } = await started()
  await append(log, event(1, 'raised'))
  await until(() => hook.requests.length === 1)
  await append(log, event(2, 'updated', { severity: 'critical' }))
  await until(() => hook.requests.length === 2)
  const [lower, higher] = hook.bodies[1]
  expect(hook.bodies[1]).toHaveLength(2)
  expect([lower.labels, lower.endsAt]).toEqual([labels, new Date(STARTED_AT + 2000).toISOString()])
  expect([higher.labels, higher.endsAt]).toEqual([{ ...labels, severity: 'critical' }, undefined])
})

test('alerts below severity_min are not sent until they rise to it', async () => {
  const { hook, log, status } = await started({ severity_min: 'critical' })
  await append(log, event(1, 'raised', { device: 'pump-4' }), event(1, 'raised'))
  await append(log, event(2, 'updated', { severity: 'critical' }))
  await until(() => hook.requests.length === 1)
  expect(hook.bodies[0]).toMatchObject([{ labels: { device: 'pump-3', severity: 'critical' } }])
  expect(hook.bodies[0]).toHaveLength(1)
  await until(() => status().delivered === 1)
  expect(status()).toMatchObject({ refused: 0, openAlerts: 2 })
})

test('open alerts are sent again every resend_interval, cleared ones are not', async () => {
  const { hook, log, status } = await started({ resend_interval: '1s' })
  await append(log, event(1, 'raised'))
  await append(log, event(1, 'raised', { device: 'b' }), event(2, 'cleared', { device: 'b' }))
  await until(() => status().delivered === 3)
  const before = hook.requests.length
  await until(() => hook.requests.length >= before + 2)
  for (const body of hook.bodies.slice(before)) {
    expect(body).toHaveLength(1)
    expect(body[0].labels).toEqual(labels)
    expect(body[0].endsAt).toBeUndefined()
  }
})

test('a CloudEvent is posted as it is in the log, one a request, and once', async () => {
  const { hook, log, status } = await started({ format: 'cloudevents', resend_interval: '1s' })
  const events = [event(1, 'raised'), event(2, 'updated'), event(3, 'cleared')]
  await append(log, ...events)
  await until(() => status().delivered === 3)
  expect(hook.bodies).toEqual(events)
  expect(hook.requests[0].headers['content-type']).toBe('application/cloudevents+json')
})

test('while nobody answers alerts wait; then they come in order, none lost', async () => {
  const { hook, log, status, lines } = await started({ format: 'cloudevents' })
  await hook.close()
  const events = Array.from({ length: 30 }, (_, n) => event(n + 1, n === 0 ? 'raised' : 'updated'))
  await append(log, ...events)
  await until(() => status().state === 'waiting')
  expect(status()).toMatchObject({ delivered: 0, backlogRecords: 30 })
  expect(status().lastError?.message).toContain('ECONNREFUSED')
  await until(() => lines.length > 0)
  await hook.listen()
  await until(() => status().delivered === 30)
  expect(hook.bodies).toEqual(events)
  expect(status().state).toBe('delivering')
  expect(status().lastError).toBeUndefined()
  const told = lines.map(line => JSON.parse(line).event)
  expect(told).toEqual(['alert_sink.waiting', 'alert_sink.recovered'])
})

test.each([500, 503, 429, 408, 401, 404])('an answer of %i is tried again', async status => {
  const { hook, log } = await started({ format: 'cloudevents' })
  let answers = 0
  hook.reply = () => ({ status: answers++ < 1 ? status : 204 })
  await append(log, event(1, 'raised'), event(2, 'cleared'))
  await until(() => hook.requests.length === 3)
  expect(hook.bodies.map(({ data }) => data.state)).toEqual(['raised', 'raised', 'cleared'])
})

test('an event that is refused is passed over and counted; those of the same post arrive', async () => {
  const { hook, log, status, lines } = await started()
  hook.reply = ({ body }) =>
    // biome-ignore lint/suspicious/noExplicitAny: see Request
    body.some(({ labels }: any) => labels.device.startsWith('bad'))
      ? { status: 400, body: 'bad label' }
      : { status: 200 }
  const good = ['a', 'b', 'c'].map(device => event(1, 'raised', { device }))
  const bad = ['bad-1', 'bad-2'].map(device => event(1, 'raised', { device }))
  await appendFrame(log, good[0], bad[0], good[1], bad[1], good[2])
  await until(() => status().delivered === 3)
  expect(status()).toMatchObject({ delivered: 3, refused: 2, state: 'delivering' })
  expect(hook.bodies[0]).toHaveLength(5)
  const taken = hook.bodies.filter(body => body.length === 1).map(([{ labels }]) => labels.device)
  expect(taken.filter(device => !device.startsWith('bad'))).toEqual(['a', 'b', 'c'])
  const refusals = lines.map(line => JSON.parse(line)).filter(line => line.level === 'error')
  expect(refusals).toHaveLength(1)
  expect(refusals[0]).toMatchObject({ event: 'alert_sink.refused', reason: '400' })
})

test('a redirect is not followed: what is sent was meant for one address', async () => {
  const other = await receiver()
  const { hook, log, status } = await started()
  hook.reply = () => ({ status: 307, headers: { location: other.url } })
  await append(log, event(1, 'raised'))
  await until(() => status().state === 'waiting')
  expect(status().lastError?.message).toContain('redirect')
  expect(other.requests).toEqual([])
})

test('who never answers is given up after the timeout, and of a long answer only the beginning is read', async () => {
  const { hook, log, status } = await started({ timeout: '100ms', format: 'cloudevents' })
  hook.reply = () =>
    hook.requests.length === 1 ? { status: 0, mute: true } : { status: 200, endless: true }
  await append(log, event(1, 'raised'))
  await until(() => status().state === 'waiting')
  expect(status().lastError?.message).toBe('no answer within 100 ms')
  await until(() => status().delivered === 1)
})

test('no secret is in a log line, the status or an error, even if the answer repeats it', async () => {
  const file = path.join(temporaryDirectory(), 'token')
  writeFileSync(file, `Bearer ${SECRET}-file\n`)
  const { hook, log, status, lines, sinks } = await started({
    headers: [
      { name: 'x-key', value: SECRET },
      { name: 'authorization', value: new SecretFile(file) }
    ]
  })
  const paths = ['503', '400']
  hook.reply = ({ headers }) => {
    const body = `you sent ${headers['x-key']} and ${headers.authorization}`
    return { status: Number(paths.shift() ?? '200'), body }
  }
  await append(log, event(1, 'raised'))
  await until(() => status().state === 'waiting')
  expect(status().lastError?.message).toContain('[secret]')
  expect(JSON.stringify(sinks.status)).not.toContain(SECRET)
  await until(() => status().refused === 1)
  expect(hook.requests[0].headers['x-key']).toBe(SECRET)
  expect(hook.requests[0].headers.authorization).toBe(`Bearer ${SECRET}-file`)
  // A token that is exchanged is used from the next request on.
  writeFileSync(file, 'Bearer another\n')
  await append(log, event(2, 'updated'))
  await until(() => status().delivered === 1)
  expect(hook.requests.at(-1)?.headers.authorization).toBe('Bearer another')
  expect(lines.join('')).not.toContain(SECRET)
})

test('an address that cannot prove itself is told nothing', async () => {
  const directory = temporaryDirectory()
  const authority = new TestAuthority()
  const hook = await receiver(authority.issue({ name: 'hook', hosts: ['127.0.0.1'] }))
  const log = await openAlertLog(directory)
  const webhooks = [{ name: 'ops', url: hook.url }]
  const { sinks } = await startSinks(directory, log, { webhooks })
  await append(log, event(1, 'raised'))
  await until(() => sinks.status[0].state === 'waiting')
  expect(sinks.status[0].lastError?.message).toContain('certificate')
  expect(hook.requests).toEqual([])
})

test('the state of a sink that is configured no longer is removed', async () => {
  const { log, directory, sinks } = await started()
  const { readdirSync } = await import('node:fs')
  await sinks.stop(0)
  expect(readdirSync(path.join(directory, 'alert-sinks'))).toEqual(['webhook.ops.json'])
  await startSinks(directory, log, {})
  expect(readdirSync(path.join(directory, 'alert-sinks'))).toEqual([])
})

test('a sink that is behind by more than lag_max loses the oldest, which are counted', async () => {
  const { hook, log, status } = await started({ format: 'cloudevents' }, { lag_max: 100 })
  await hook.close()
  const reason = 'x'.repeat(20_000)
  const events = Array.from({ length: 400 }, (_, n) =>
    event(n + 1, n === 0 ? 'raised' : 'updated', { reason })
  )
  await append(log, events[0])
  await until(() => status().state === 'waiting')
  await append(log, ...events.slice(1))
  await hook.listen()
  await until(() => status().delivered + status().skipped === 400)
  expect(status().skipped).toBeGreaterThan(0)
  expect(hook.bodies.at(-1)).toEqual(events.at(-1))
})
