import { expect, test } from 'vitest'
import { ReconnectThrottle } from '../../../../agent/ingest/broker/reconnect-throttle.ts'
import { startBroker } from './broker-kit.ts'

const gone = (id: string) => ({ id, closed: false })

test('a client that is refused again and again waits longer each time, up to 15 s', () => {
  let now = 0
  const throttle = new ReconnectThrottle(
    () => now,
    () => 1
  )
  expect(throttle.delayMs('d')).toBe(0)
  const delays: number[] = []
  for (let n = 0; n < 6; n++) {
    throttle.refused(gone('d'))
    delays.push(throttle.delayMs('d'))
    now += throttle.delayMs('d')
    expect(throttle.delayMs('d')).toBe(0)
  }
  expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 15_000, 15_000])
  expect(throttle.delayMs('other')).toBe(0)
  now += 60_000
  throttle.refused(gone('d'))
  expect(throttle.delayMs('d')).toBe(1_000)
})

test('a client that is gone already, and a will of nobody, are not counted', () => {
  const throttle = new ReconnectThrottle(() => 0)
  throttle.refused({ id: 'd', closed: true })
  throttle.refused(null)
  expect(throttle.delayMs('d')).toBe(0)
})

test('those that were refused together come back apart', () => {
  const shares = [0, 0.5, 0.99]
  const throttle = new ReconnectThrottle(
    () => 0,
    () => shares.shift() ?? 0
  )
  for (const id of ['a', 'b', 'c']) throttle.refused(gone(id))
  expect(['a', 'b', 'c'].map(id => throttle.delayMs(id))).toEqual([500, 750, 995])
})

test('at most 10,000 clients are remembered', () => {
  const throttle = new ReconnectThrottle(
    () => 0,
    () => 0
  )
  for (let n = 0; n <= 10_000; n++) throttle.refused(gone(`d${n}`))
  expect([throttle.delayMs('d0'), throttle.delayMs('d1')]).toEqual([0, 500])
})

test('a device whose message the log refused gets its CONNACK late, others at once', async () => {
  const { log, connect } = await startBroker()
  log.held = true
  const device = await connect({ clientId: 'refused' })
  device.publish({ topic: 't', qos: 1, id: 1 }, { topic: 't', qos: 1, id: 2 })
  await expect.poll(() => log.waiting).toBe(2)
  log.refuse()
  await device.untilClosed()
  log.held = false
  const from = performance.now()
  const back = connect({ clientId: 'refused' }).then(client => [client, performance.now()] as const)
  const other = await connect({ clientId: 'other' })
  await other.roundTrip()
  expect(performance.now() - from).toBeLessThan(400)
  const [again, at] = await back
  // One refusal, though two messages were: half a second to a second.
  expect(at - from).toBeGreaterThan(400)
  again.publish({ topic: 't', qos: 1, id: 1, dup: true })
  await again.until(() => again.acks().length === 1)
})
