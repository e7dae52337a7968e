import { expect, onTestFinished, test } from 'vitest'
import type { Driver, Session, SessionOptions, Transaction } from '../../../agent/uplink/driver.ts'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import { readTopic, uniqueTopic } from '../../kit/kafka.ts'
import { idsByKey, wholeIds } from './delivery-kit.ts'
import type { FarKafka } from './link-kit.ts'
import { recordsOf } from './records.ts'

const CURSORS = 'fieldline.cursors'
/** Kafka looks for transactions that are too old every 10 s: none of these ends by its age. */
const TRANSACTION_MS = 60_000

/**
 * What a driver must hold for the deliveries to keep their promises, against a real broker: to be called
 * by the test of each driver. Rights, logins and several leaders are tested with the deliveries
 * (`kafka-acl`, `kafka-sasl-…`, `kafka-error-rows-cluster`).
 *
 * @param far Its broker, with the link in the driver's way; given once the hooks have run.
 */
export function driverChecks(driverOf: (brokers: string[]) => Driver, far: () => FarKafka): void {
  const driver = () => driverOf([far().link.address])

  async function open(options: SessionOptions = {}): Promise<Session> {
    await far().link.set({ kind: 'open' })
    const session = await driver().open(options)
    onTestFinished(async () => {
      await far().link.set({ kind: 'open' })
      await session.close()
    })
    return session
  }
  const openTransactional = (transactionalId: string) =>
    open({ transactionalId, transactionMsMax: TRANSACTION_MS })

  /** What it rejects with, as the driver judges it. */
  const verdictOf = (call: Promise<unknown>) =>
    call.then(
      () => expect.unreachable('it did not reject'),
      error => driver().judge(error)
    )
  const read = (topic: string, until?: number) =>
    readTopic(far().brokers, topic, until === undefined ? {} : { until })
  const expectWhole = async (topic: string, end: number) =>
    expect(idsByKey(await read(topic, end))).toEqual(wholeIds(end))

  test('a send stores each record once, whole, and in order, in all its topics and partitions', async () => {
    const topics = [await far().newTopic(6), await far().newTopic(1), await far().newTopic(3)]
    const session = await open()
    for (let first = 0; first < 300; first += 100) {
      const each = topics.map(topic => recordsOf(topic, first, first + 100))
      // Mixed: a topic's records do not stand together.
      await session.send(each[0].flatMap((_, n) => each.map(records => records[n])))
    }
    for (const topic of topics) await expectWhole(topic, 300)
    const partitions = new Set((await read(topics[0], 300)).map(({ partition }) => partition))
    expect(partitions.size).toBeGreaterThan(1)
  })

  test('key, bytes, headers and time arrive as they are', async () => {
    const topic = await far().newTopic(1)
    const sent = {
      key: 'plant/ä',
      value: Buffer.from([0, 255, 10]),
      timestampMs: Date.now() - 5_000,
      headers: { a: 'é', empty: '' }
    }
    await (await open()).send([{ topic, ...sent }])
    const [found] = await read(topic, 1)
    expect(found).toMatchObject(sent)
  })

  test('a send whose answer is lost is sent again, and stored once', async () => {
    const topic = await far().newTopic(3)
    const session = await open()
    await session.send(recordsOf(topic, 0, 10))
    const records = recordsOf(topic, 10, 210).map(padded)
    const { link } = far()
    await link.set({ kind: 'open', roundTripMs: 1_000 })
    const sentBefore = link.bytesUp
    const sending = sendUntilStored(driver(), session, records)
    // All of it is with the broker; its answer is on the way for another half second.
    await expect.poll(() => link.bytesUp - sentBefore, POLL).toBeGreaterThan(200 * PADDED_BYTES)
    const heardBefore = link.bytesDown
    await link.set({ kind: 'reset' })
    expect(link.bytesDown).toBe(heardBefore)
    await link.set({ kind: 'open' })
    await sending
    await sendUntilStored(driver(), session, recordsOf(topic, 210, 220))
    await expectWhole(topic, 220)
  })

  test('without any answer a send is told and repeated over new connections, a transaction’s is given up', async () => {
    const [topic, other] = [await far().newTopic(3), await far().newTopic(3)]
    const session = await open()
    await session.send(recordsOf(topic, 0, 10))
    const transaction = await (await openTransactional(other)).begin()
    await transaction.send(recordsOf(other, 0, 10))
    await far().link.set({ kind: 'black_hole', forget: true })
    const codes: string[] = []
    const sending = session.send(recordsOf(topic, 10, 20), error => {
      codes.push(driver().judge(error).code)
      void far().link.set({ kind: 'open' })
    })
    const givenUp = verdictOf(transaction.send(recordsOf(other, 10, 20)))
    expect(await givenUp).toMatchObject({ action: 'renew', code: 'UNANSWERED' })
    await sending
    expect(codes).toEqual(['UNANSWERED'])
    await expectWhole(topic, 20)
  })

  test('a transaction’s records and its offset appear together, and not before', async () => {
    const [topic, other] = [await far().newTopic(3), await far().newTopic(1)]
    const session = await openTransactional(topic)
    const first = await session.begin()
    expect(await session.committed(topic, CURSORS)).toEqual({
      clusterId: expect.stringMatching(/./),
      committed: undefined
    })
    await first.send(recordsOf(topic, 0, 20))
    await first.send([...recordsOf(topic, 20, 40), ...recordsOf(other, 0, 20)])
    await first.sendOffset(topic, CURSORS, { offset: '40', metadata: 'one' })
    expect(await read(topic)).toEqual([])
    await first.commit()
    await expectWhole(topic, 40)
    await expectWhole(other, 20)
    // One after the other without a pause.
    for (let end = 50; end <= 100; end += 10) {
      const next = await session.begin()
      await next.send(recordsOf(topic, end - 10, end))
      await next.sendOffset(topic, CURSORS, { offset: String(end), metadata: `${end}` })
      await next.commit()
    }
    await expectWhole(topic, 100)
    const successor = await openTransactional(topic)
    await successor.begin()
    const { committed } = await successor.committed(topic, CURSORS)
    expect(committed).toMatchObject({ offset: '100', metadata: '100' })
  })

  test('the first begin of a successor aborts what its predecessor left open, and fences it', async () => {
    const topic = await far().newTopic(3)
    const old = await openTransactional(topic)
    await deliver(await old.begin(), topic, 0, 10)
    const left = await old.begin()
    await left.send(recordsOf(topic, 10, 20))
    await left.sendOffset(topic, CURSORS, { offset: '20', metadata: null })
    const successor = await openTransactional(topic)
    const transaction = await successor.begin()
    expect((await successor.committed(topic, CURSORS)).committed?.offset).toBe('10')
    expect((await verdictOf(left.commit())).action).toBe('renew')
    await deliver(transaction, topic, 10, 30)
    await expectWhole(topic, 30)
  })

  test('a predecessor that is fenced cannot begin again', async () => {
    const topic = await far().newTopic(3)
    const old = await openTransactional(topic)
    await deliver(await old.begin(), topic, 0, 10)
    const successor = await openTransactional(topic)
    const transaction = await successor.begin()
    const zombie = (async () => deliver(await old.begin(), topic, 10, 20))()
    expect((await verdictOf(zombie)).action).toBe('renew')
    await deliver(transaction, topic, 10, 30)
    await expectWhole(topic, 30)
  })

  test('connecting alone fences nobody', async () => {
    const topic = await far().newTopic(3)
    const session = await openTransactional(topic)
    const transaction = await session.begin()
    await transaction.send(recordsOf(topic, 0, 10))
    await openTransactional(topic)
    await deliver(transaction, topic, 10, 20)
    await expectWhole(topic, 20)
  })

  test.each(['alone', 'in a transaction'])('refusals have Kafka’s names: %s', async how => {
    const [topic, missing] = [await far().newTopic(1), uniqueTopic('missing')]
    const refusal = async (record: Partial<OutgoingRecord>) => {
      const [plain] = recordsOf(topic, 0, 1)
      const records = [{ ...plain, ...record }]
      if (how === 'alone') return verdictOf((await open()).send(records))
      const transaction = await (await openTransactional(topic)).begin()
      return verdictOf(transaction.send(records))
    }
    expect(await refusal({ value: Buffer.alloc(1_200_000, 1) })).toMatchObject({
      action: 'split',
      code: 'MESSAGE_TOO_LARGE',
      reason: 'too_large'
    })
    expect(await refusal({ timestampMs: Date.now() + 7_200_000 })).toMatchObject({
      action: 'dead_letter',
      code: 'INVALID_TIMESTAMP',
      reason: 'invalid_timestamp'
    })
    expect(await refusal({ topic: missing })).toMatchObject({
      action: 'park',
      code: 'UNKNOWN_TOPIC_OR_PARTITION',
      topic: missing
    })
    await (await open()).send(recordsOf(topic, 0, 10))
    await expectWhole(topic, 10)
  })

  test('a transaction that may last longer than the broker allows is refused by name', async () => {
    const session = await open({
      transactionalId: uniqueTopic('long'),
      transactionMsMax: 1_000_000
    })
    expect((await verdictOf(session.begin())).code).toBe('INVALID_TRANSACTION_TIMEOUT')
  })

  test('the offset of a topic that is missing is asked for by name', async () => {
    const topic = await far().newTopic(1)
    const session = await openTransactional(topic)
    await session.begin()
    const { code } = await verdictOf(session.committed(topic, uniqueTopic('missing')))
    expect(code).toBe('UNKNOWN_TOPIC_OR_PARTITION')
  })

  test('where nobody listens opening rejects, and time may heal it', async () => {
    const { action } = await verdictOf(driverOf(['127.0.0.1:1']).open({}))
    expect(action).toBe('retry')
  })

  test('closing rejects what is under way, and once is enough', async () => {
    const topic = await far().newTopic(1)
    const session = await open()
    await session.send(recordsOf(topic, 0, 1))
    await far().link.set({ kind: 'black_hole' })
    const sending = verdictOf(session.send(recordsOf(topic, 1, 2)))
    const from = performance.now()
    await session.close()
    await session.close()
    expect(['retry', 'renew']).toContain((await sending).action)
    // Well before a deadline.
    expect(performance.now() - from).toBeLessThan(8_000)
  })

  test('a session that has just begun is not outdated', async () => {
    expect((await open()).isOutdated).toBe(false)
  })

  test('whatever is thrown is judged', () => {
    for (const thrown of [new TypeError('x'), 'text', undefined, null, 5]) {
      expect(driver().judge(thrown).action).toBe('renew')
    }
  })
}

const POLL = { timeout: 20_000, interval: 5 }
const PADDED_BYTES = 1_000

function padded(record: OutgoingRecord): OutgoingRecord {
  return { ...record, value: Buffer.alloc(PADDED_BYTES, 'x') }
}

/** As a delivery does: the same again, with the same producer, while the verdict is to. */
async function sendUntilStored(
  driver: Driver,
  session: Session,
  records: OutgoingRecord[]
): Promise<void> {
  for (;;) {
    try {
      return await session.send(records)
    } catch (error) {
      if (driver.judge(error).action !== 'retry') throw error
    }
  }
}

async function deliver(
  transaction: Transaction,
  topic: string,
  first: number,
  end: number
): Promise<void> {
  await transaction.send(recordsOf(topic, first, end))
  await transaction.sendOffset(topic, CURSORS, { offset: String(end), metadata: null })
  await transaction.commit()
}
