import { expect, test } from 'vitest'
import { UpstreamBackOff } from '../../../../agent/ingest/upstream/back-off.ts'
import { lossOf, lossOfDisconnect } from '../../../../agent/ingest/upstream/faults.ts'
import { UpstreamWatch } from '../../../../agent/ingest/upstream/watch.ts'
import { Prng } from '../../../../core/runtime/prng.ts'
import { connected, events, scripted, turns, until } from './upstream-kit.ts'

const LIMITS = { neverConnectedMs: 60_000, stuckMs: 30_000, silentAfterMs: 600_000 }

test('an upstream that was never reached is told after its time, and no longer once it was', () => {
  const watch = new UpstreamWatch(LIMITS, 1000)
  expect(watch.look(60_999)).toBeUndefined()
  expect(watch.look(61_000)).toBe('never_connected')
  watch.connected(70_000)
  expect(watch.look(70_000)).toBeUndefined()
  watch.lost()
  expect(watch.look(500_000)).toBeUndefined()
})

test('silence counts from the connection or the last message, and ends with one', () => {
  const watch = new UpstreamWatch(LIMITS, 0)
  watch.connected(1000)
  expect(watch.look(600_999)).toBeUndefined()
  expect(watch.look(601_000)).toBe('silent')
  watch.lost()
  watch.connected(602_000)
  expect(watch.look(602_000)).toBe('silent')
  watch.heard(610_000)
  expect(watch.look(610_000)).toBeUndefined()
  expect(watch.look(1_210_000)).toBe('silent')
})

test('without silent_after no silence is told', () => {
  const watch = new UpstreamWatch({ ...LIMITS, silentAfterMs: null }, 0)
  watch.connected(0)
  expect(watch.look(Number.MAX_SAFE_INTEGER)).toBeUndefined()
})

test('messages that wait are stuck when no acknowledgement moves, however many come', () => {
  const watch = new UpstreamWatch(LIMITS, 0)
  watch.connected(0)
  watch.heard(0)
  watch.owes(1, false, 1000)
  watch.owes(5, false, 20_000)
  expect(watch.look(30_999)).toBeUndefined()
  expect(watch.look(31_000)).toBe('stuck')
  watch.owes(4, true, 31_500)
  expect(watch.look(31_500)).toBeUndefined()
  watch.owes(0, true, 40_000)
  expect(watch.look(90_000)).toBeUndefined()
})

test('the pause is a share of a doubling ceiling; a stored message and a long connection begin anew', () => {
  const prng = new Prng(1)
  let share = 1
  prng.float = () => share
  const limits = { backOffMsMin: 1000, backOffMsMax: 60_000, takeoverBackOffMsMax: 300_000 }
  const backOff = new UpstreamBackOff(limits, prng)
  const next = (count: number) => Array.from({ length: count }, () => backOff.nextMs())
  expect(next(8)).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  share = 0
  expect(next(1)).toEqual([0])
  share = 1
  backOff.succeeded()
  expect(next(2)).toEqual([1000, 2000])
  backOff.lasted(59_999)
  expect(next(1)).toEqual([4000])
  backOff.lasted(60_000)
  expect(next(1)).toEqual([1000])
})

test('a contested session backs off further, whatever was stored, until a connection outlasts the other', () => {
  const prng = new Prng(1)
  prng.float = () => 1
  const limits = { backOffMsMin: 1000, backOffMsMax: 60_000, takeoverBackOffMsMax: 300_000 }
  const backOff = new UpstreamBackOff(limits, prng)
  const pauses = Array.from({ length: 7 }, () => {
    backOff.succeeded()
    backOff.takenOver()
    return backOff.nextMs()
  })
  expect(pauses).toEqual([16_000, 32_000, 64_000, 128_000, 256_000, 300_000, 300_000])
  backOff.lasted(599_999)
  expect(backOff.contested).toBe(true)
  backOff.lasted(600_000)
  expect(backOff.contested).toBe(false)
})

test('three closes in a row let another client be suspected, unless the broker was away in between', () => {
  const limits = { backOffMsMin: 1000, backOffMsMax: 60_000, takeoverBackOffMsMax: 300_000 }
  const backOff = new UpstreamBackOff(limits, new Prng(1))
  const closes = (times: number) => Array.from({ length: times }, () => backOff.closedByBroker())
  expect(closes(2)).toEqual([false, false])
  backOff.unreachable()
  expect(closes(3)).toEqual([false, false, true])
  expect(backOff.contested).toBe(true)
})

test.each([
  [{ code: 'ENOTFOUND', message: 'x' }, 'dns', 'the host name plant7 does not resolve (ENOTFOUND)'],
  [{ code: 'ECONNREFUSED', message: 'no' }, 'unreachable', 'no'],
  [{ code: 'ECONNREFUSED', message: '' }, 'unreachable', 'ECONNREFUSED'],
  [{ code: 'DEPTH_ZERO_SELF_SIGNED_CERT', message: 'self-signed' }, 'tls', 'self-signed'],
  [{ code: 'ERR_SSL_WRONG_VERSION_NUMBER', message: 'wrong' }, 'tls', 'wrong'],
  [{ code: 'TLS_FILES_UNUSABLE', message: 'ca' }, 'tls', 'ca'],
  [
    {
      code: 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      message:
        '80BC:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:x.c:1601:\n',
      reason: 'tlsv1 alert unknown ca'
    },
    'tls',
    'the broker ends the TLS handshake: tlsv1 alert unknown ca (ERR_SSL_TLSV1_ALERT_UNKNOWN_CA)'
  ],
  [{ code: 'SECRET_UNREADABLE', message: 'file' }, 'auth', 'file'],
  [
    { code: 5, message: 'Connection refused: Not authorized' },
    'auth',
    'Connection refused: Not authorized'
  ],
  [{ message: 'Keepalive timeout' }, 'keep_alive', 'Keepalive timeout'],
  [{ message: 'Unexpected server response: 404' }, 'refused', 'Unexpected server response: 404']
] as const)('%o is a fault of the kind %s', (facts, fault, reason) => {
  const error = Object.assign(new Error(facts.message), facts)
  expect(lossOf(error, 'plant7')).toEqual({ fault, reason })
})

test('a DISCONNECT of a session taken over names the client id', () => {
  const { fault, reason } = lossOfDisconnect(0x8e, undefined, 'gateway-7')
  expect(fault).toBe('taken_over')
  expect(reason).toContain("'gateway-7'")
})

test('a broker that is away from the start is told once as an error, with the reason', async () => {
  const { client, lines, broker } = await scripted({}, { neverConnectedMs: 1 }, broker => {
    broker.returnCode = 4
  })
  await until(() => client.status.trouble === 'never_connected')
  await until(() => events(lines).includes('upstream.never_connected'))
  const told = lines
    .map(line => JSON.parse(line))
    .filter(l => l.event === 'upstream.never_connected')
  expect(told).toMatchObject([{ level: 'error', fault: 'auth' }])
  broker.returnCode = 0
  await until(() => client.status.state === 'connected')
  await until(() => client.status.trouble === undefined)
})

test('messages that the log does not take in time are told as stuck, and no longer when it does', async () => {
  const { broker, intake, client, lines } = await connected({ keepAliveS: 1 }, { stuckMs: 1 })
  broker.publish({ qos: 1, packetId: 1 })
  await intake.arrival(1)
  await until(() => client.status.trouble === 'stuck')
  expect(client.status).toMatchObject({ state: 'connected', inflight: 1 })
  intake.arrivals[0].resolve()
  await until(() => client.status.trouble === undefined)
  expect(broker.acks()).toEqual(['puback 1'])
  expect(events(lines)).toEqual(['upstream.connected', 'upstream.stuck'])
})

test('a connection that is not read for lack of room lives on: pings go out, their silence counts for nothing', async () => {
  const { broker, intake, client } = await connected({ keepAliveS: 1 })
  intake.full = true
  broker.publish({ qos: 1, packetId: 1 })
  await until(() => intake.waiting.length === 1)
  const from = performance.now()
  // Twice as long as the client's own keep-alive would wait for an answer.
  await until(() => performance.now() - from > 3000)
  expect(broker.has('pingreq')).toBe(true)
  expect(client.status).toMatchObject({ state: 'connected', connects: 1 })
  intake.full = false
  for (const resume of intake.waiting.splice(0)) resume()
  ;(await intake.arrival(1)).resolve()
  await broker.until(() => broker.acks().length === 1)
})

test('an MQTT 3.1.1 broker that closes again and again lets another client of the same id be suspected', async () => {
  const { broker, client } = await connected(
    {},
    { backOffMsMax: 60_000, backOffMsMin: 1, takeoverBackOffMsMax: 60_000 }
  )
  broker.sessionPresent = true
  for (let n = 1; n <= 3; n++) {
    await until(() => client.status.state === 'connected')
    expect(client.status.trouble).toBeUndefined()
    broker.drop()
    await until(() => client.status.state !== 'connected')
  }
  await until(() => client.status.trouble === 'taken_over')
  expect(client.status.lastError).toContain("perhaps another client connects as 'fieldline-test'")
  await until(() => client.status.state === 'connected')
  await turns()
})

test('an MQTT 3.1.1 broker that is restarted again and again is no other client of the same id', async () => {
  const { broker, client } = await connected(
    {},
    { backOffMsMax: 60_000, backOffMsMin: 1, takeoverBackOffMsMax: 60_000 }
  )
  for (let n = 1; n <= 4; n++) {
    await until(() => client.status.state === 'connected')
    await broker.close()
    await until(() => client.status.fault === 'unreachable')
    await broker.listen(broker.port)
  }
  await until(() => client.status.state === 'connected')
  await turns()
  expect(client.status.trouble).toBeUndefined()
})
