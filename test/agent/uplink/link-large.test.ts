import { expect, test } from 'vitest'
import { readTopic, testClient, useOwnKafka } from '../../kit/kafka.ts'
import { deliveryOf, MODES, running, upTo } from './delivery-kit.ts'
import { type FarKafka, startFarKafka } from './link-kit.ts'
import { recordsOf } from './records.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

const LARGE_BYTES = 60_000
const BYTES_PER_SECOND = 4_000

test.each(MODES)(
  '%s: a record that needs longer than a transaction and a deadline usually last is delivered once, with the time it needs',
  async mode => {
    await far.link.set({ kind: 'open' })
    const topic = await far.newTopic(1)
    await far.link.set({ kind: 'open', bytesPerSecond: BYTES_PER_SECOND, roundTripMs: 50 })
    const { delivery, states } = deliveryOf(() => testClient([far.link.address]), mode, {
      transactionalId: topic
    })
    await delivery.start(running)
    // The link is known by then.
    for (let n = 0; n < 3; n++) {
      expect(
        await delivery.deliver(recordsOf(topic, n * 20, n * 20 + 20), upTo(n * 20 + 20), running)
      ).toBe(true)
    }
    const records = recordsOf(topic, 60, 62)
    records[0].value = Buffer.alloc(LARGE_BYTES, 'x')
    const startedAt = performance.now()
    expect(await delivery.deliver(records, upTo(62), running)).toBe(true)
    expect(performance.now() - startedAt).toBeGreaterThan((LARGE_BYTES / BYTES_PER_SECOND) * 900)
    expect(states.every(({ kind }) => kind === 'streaming')).toBe(true)
    await far.link.set({ kind: 'open' })
    const found = await readTopic(far.brokers, topic, { until: 62 })
    expect(found.map(({ headers }) => Number(headers['fl-id']))).toEqual(
      Array.from({ length: 62 }, (_, n) => n)
    )
  },
  120_000
)

test('exactly_once: a batch made for a fast link is delivered in parts once the link is slow, each with its cursor', async () => {
  await far.link.set({ kind: 'open' })
  const topic = await far.newTopic(1)
  const { delivery } = deliveryOf(() => testClient([far.link.address]), 'exactly_once', {
    transactionalId: topic
  })
  await delivery.start(running)
  expect(await delivery.deliver(recordsOf(topic, 0, 10), upTo(10), running)).toBe(true)
  await far.link.set({ kind: 'open', bytesPerSecond: BYTES_PER_SECOND, roundTripMs: 50 })
  // Half a minute's worth: no transaction begun for a fast link lasts so long.
  const records = recordsOf(topic, 10, 110).map(record => ({
    ...record,
    value: Buffer.alloc(1000, 'x')
  }))
  const cuts = () => records.map((_, n) => ({ records: n + 1, upTo: upTo(11 + n) }))
  expect(await delivery.deliver(records, upTo(110), running, cuts)).toBe(true)
  await far.link.set({ kind: 'open' })
  const found = await readTopic(far.brokers, topic, { until: 110 })
  expect(found.map(({ headers }) => Number(headers['fl-id']))).toEqual(
    Array.from({ length: 110 }, (_, n) => n)
  )
}, 240_000)
