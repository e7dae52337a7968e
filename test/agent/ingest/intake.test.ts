import { expect, test } from 'vitest'
import { type IncomingMessage, PUBACK_BUCKETS } from '../../../agent/ingest/intake.ts'
import { HeldLog, intakeOf } from './held-log.ts'

function message(changes: Partial<IncomingMessage> = {}): IncomingMessage {
  return {
    topic: 't',
    payload: Buffer.alloc(1000),
    qos: 1,
    retain: false,
    dup: false,
    packetId: 1,
    clientId: 'd',
    upstream: false,
    ...changes
  }
}

test('a store resolves with its append and is counted by QoS, with its wait unless nobody waits', async () => {
  const log = new HeldLog()
  const intake = intakeOf(log)
  log.held = true
  intake.offer(message({ qos: 0 }))
  let stored = false
  const storing = intake.store(message({ qos: 2 })).then(() => {
    stored = true
  })
  await Promise.resolve()
  expect([stored, intake.inflightBytes > 1000]).toEqual([false, true])
  log.sync()
  await storing
  expect(intake.counters).toMatchObject({ stored: [1, 0, 1], refused: 0 })
  expect(intake.inflightBytes).toBe(0)
  expect(intake.waits.totals.counts).toEqual([1, ...PUBACK_BUCKETS.map(() => 0)])
})

test('a refused QoS 1 message rejects and counts as refused, a refused QoS 0 one as dropped', async () => {
  const log = new HeldLog()
  const intake = intakeOf(log)
  log.held = true
  const storing = intake.store(message())
  intake.offer(message({ qos: 0 }))
  log.refuse()
  await expect(storing).rejects.toMatchObject({ code: 'LOG_FULL' })
  await expect.poll(() => intake.counters).toMatchObject({ refused: 1, droppedQos0: 1 })
  expect(intake.inflightBytes).toBe(0)
})

test('there is room again when half the budget is free, not before', async () => {
  const log = new HeldLog()
  const intake = intakeOf(log, 4000)
  log.held = true
  for (let n = 0; n < 4; n++) void intake.store(message())
  expect(intake.full).toBe(true)
  let roomy = false
  void intake.room().then(() => {
    roomy = true
  })
  const settle = () => new Promise(setImmediate)
  for (const [synced, expected] of [
    [1, false],
    [1, false],
    [1, true]
  ] as const) {
    log.sync(synced)
    await settle()
    expect(roomy).toBe(expected)
  }
})

test('a message that cannot be encoded rejects and leaves the budget as it was', async () => {
  const intake = intakeOf(new HeldLog())
  await expect(intake.store(message({ packetId: -1 }))).rejects.toThrow()
  expect(intake.inflightBytes).toBe(0)
})
