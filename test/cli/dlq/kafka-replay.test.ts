import { expect, test } from 'vitest'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import type { FieldlineConfig } from '../../../cli/config.ts'
import { readLetters, spanOf } from '../../../cli/dlq/kafka-letters.ts'
import { type ReplayOptions, replay } from '../../../cli/dlq/kafka-replay.ts'
import { LetterList } from '../../../cli/dlq/letter-list.ts'
import { Resending } from '../../../cli/dlq/resending.ts'
import type { ITopicConfig, Kafka } from '../../../core/kafka/client.ts'
import { createTopic, readTopic, uniqueTopic, useKafka } from '../../kit/kafka.ts'
import { configOf, NOW, rendered } from './letters.ts'

const shared = useKafka()

interface Stage {
  /** The dead-letter topic. */
  dead: string
  /** Where the mended route leads. */
  target: string
  config: FieldlineConfig
}

/** Dead letters of a route that wants a reading, each third of which holds none. */
async function stage(letters: number, target: Partial<ITopicConfig> = {}): Promise<Stage> {
  const dead = await createTopic(shared.admin, uniqueTopic('dead'), { numPartitions: 2 })
  const topic = await createTopic(shared.admin, uniqueTopic('target'), target)
  const config = configOf([routeTo(topic)], { dead_letter_topic: dead })
  await produce(
    dead,
    Array.from({ length: letters }, (_, n) => {
      const payload = n % 3 === 2 ? '{"a":"x"}' : `{"a":${n}}`
      return rendered(
        [{ ...routeTo(topic), match: 'z/{site}/{device}' }],
        n,
        `p/s/${n}`,
        payload
      )[0]
    })
  )
  return { dead, target: topic, config }
}

const routeTo = (topic: string) => ({
  ...{ name: 'readings', match: 'p/{site}/{device}', topic, value: 'reading' }
})

async function produce(topic: string, records: readonly OutgoingRecord[]): Promise<void> {
  const producer = shared.client().producer({ allowAutoTopicCreation: false })
  await producer.connect()
  const messages = records.map(({ value, headers, timestampMs }, n) => ({
    ...{ partition: n % 2, key: `k${n}`, value, headers, timestamp: String(timestampMs) }
  }))
  await producer.send({ topic, messages })
  await producer.disconnect()
}

function run({ dead, config }: Stage, options: Partial<ReplayOptions> & { group: string }) {
  return replay({
    kafka: shared.client(),
    topic: dead,
    selection: {},
    resending: new Resending(config),
    limit: Infinity,
    dryRun: false,
    skip: false,
    now: () => NOW,
    signal: new AbortController().signal,
    ...options
  })
}

const idsIn = async (topic: string, until: number) =>
  (await readTopic(shared.brokers, topic, { until })).map(({ headers }) => headers['fl-id'])

const numbersOf = (ids: string[]) =>
  ids.map(id => Number(id.split('/').at(-1))).sort((a, b) => a - b)

test('a second run sends nothing twice, and what was mended meanwhile', async () => {
  const place = await stage(9)
  const group = uniqueTopic('group')
  const first = await run(place, { group })
  expect(first).toMatchObject({ sent: 6, leftTotal: 3, already: 0, complete: true })
  expect(first.left[0]).toMatchObject({ cause: 'still_fails', reason: 'no_route' })
  expect(first.recordsByTopic).toEqual({ [place.target]: 6 })
  expect(numbersOf(await idsIn(place.target, 6))).toEqual([0, 1, 3, 4, 6, 7])

  expect(await run(place, { group })).toMatchObject({ sent: 0, leftTotal: 3, already: 6 })
  const mended = configOf([{ ...routeTo(place.target), value: 'payload' }])
  const third = await run(place, { group, resending: new Resending(mended) })
  expect(third).toMatchObject({ sent: 3, leftTotal: 0 })
  expect(await run(place, { group })).toMatchObject({ sent: 0, leftTotal: 0 })
  const records = await readTopic(shared.brokers, place.target, { until: 9 })
  expect(numbersOf(records.map(({ headers }) => headers['fl-id']))).toEqual([
    ...[0, 1, 2, 3, 4, 5, 6, 7, 8]
  ])
  const three = records.find(({ key }) => key === 's/3')
  // The fourth letter is the second of its partition.
  expect(three?.headers).toMatchObject({ 'fl-replay-of': '1/1', 'fl-topic': 'p/s/3' })
  expect(three?.headers).not.toHaveProperty('fl-reason')
})

test('a dry run tells the same and does nothing', async () => {
  const place = await stage(6)
  const group = uniqueTopic('group')
  const dry = await run(place, { group, dryRun: true })
  expect(dry).toMatchObject({ sent: 4, leftTotal: 2, complete: true })
  expect(dry.text()).toContain('would send 4 dead letters again')
  expect(await run(place, { group, dryRun: true })).toMatchObject({ sent: 4, already: 0 })
  expect(await run(place, { group })).toMatchObject({ sent: 4 })
  expect(await idsIn(place.target, 4)).toHaveLength(4)
})

test('limit and selection leave the rest for a later run', async () => {
  const place = await stage(9)
  const group = uniqueTopic('group')
  const limited = await run(place, { group, limit: 2 })
  expect(limited).toMatchObject({ sent: 2, stopped: 'limit', complete: false })
  const one = await run(place, { group, selection: { topic: 'p/s/7' } })
  expect(one).toMatchObject({ sent: 1, leftTotal: 0 })
  expect([one.already, one.passedOver]).toEqual([2, 6])
  expect(await run(place, { group })).toMatchObject({ sent: 3, leftTotal: 3, already: 3 })
  expect(numbersOf(await idsIn(place.target, 6))).toEqual([0, 1, 3, 4, 6, 7])
})

test('what is given up is not tried again', async () => {
  const place = await stage(9)
  const group = uniqueTopic('group')
  expect(await run(place, { group, skip: true })).toMatchObject({ sent: 6, leftTotal: 3 })
  const again = await run(place, { group })
  expect(again).toMatchObject({ sent: 0, leftTotal: 0, complete: true })
})

test('a letter that Kafka refuses is found and left, the others go out', async () => {
  const small = { configEntries: [{ name: 'max.message.bytes', value: '2000' }] }
  const place = await stage(9, small)
  const big = rendered(
    [{ ...routeTo('t'), match: 'z/{site}/{device}' }],
    20,
    'p/s/20',
    `{"a":1,"b":"${'x'.repeat(4_000)}"}`
  )
  await produce(place.dead, big)
  const mended = configOf([{ ...routeTo(place.target), value: 'payload' }])
  const group = uniqueTopic('group')
  const report = await run(place, { group, resending: new Resending(mended) })
  expect(report).toMatchObject({ sent: 9, leftTotal: 1 })
  expect(report.left).toMatchObject([{ cause: 'refused', topic: 'p/s/20' }])
  expect(await idsIn(place.target, 9)).toHaveLength(9)
})

test('letters to a topic that does not exist are left', async () => {
  const place = await stage(3)
  const missing = configOf([routeTo('there-is-no-such-topic')])
  const group = uniqueTopic('group')
  const report = await run(place, { group, resending: new Resending(missing) })
  expect(report.leftByCause).toEqual({ topic_missing: 2, still_fails: 1 })
  expect(await run(place, { group })).toMatchObject({ sent: 2 })
})

test('two runs at once send each letter once', async () => {
  const place = await stage(30)
  const group = uniqueTopic('group')
  const runs = await Promise.allSettled([run(place, { group }), run(place, { group })])
  for (const each of runs) {
    if (each.status === 'rejected') expect(each.reason.message).toContain('has taken over')
  }
  await run(place, { group })
  const ids = await idsIn(place.target, 20)
  expect(ids).toHaveLength(20)
  expect(new Set(ids).size).toBe(20)
})

test("a group that another reader of the topic uses is not taken for a replay's", async () => {
  const place = await stage(2)
  const group = uniqueTopic('group')
  const topics = [{ partition: 0, offset: '1' }]
  await shared.admin.setOffsets({ groupId: group, topic: place.dead, partitions: topics })
  await expect(run(place, { group })).rejects.toThrow('belongs to another reader')
})

test('all of the dead-letter topic is listed, and one that is missing is told', async () => {
  const { dead } = await stage(12)
  const list = new LetterList({ limit: 3, order: 'newest', headBytes: 50 })
  const kafka = shared.client()
  const { first, end } = await spanOf(kafka, dead)
  const rest = await readLetters(kafka, dead, first, end, letter => {
    list.add(letter)
    return true
  })
  expect(rest).toBeUndefined()
  expect(list.byReason).toEqual({ no_route: 12 })
  await expect(spanOf(kafka, uniqueTopic('none'))).rejects.toThrow('cannot be read')
})

test('reading stops where it is told, and goes on there', async () => {
  const { dead } = await stage(12)
  const kafka = shared.client()
  const { first, end } = await spanOf(kafka, dead)
  const seen: string[] = []
  let from: Map<number, number> | undefined = first
  let goes = 0
  while (from) {
    let taken = 0
    goes++
    from = await readLetters(kafka, dead, from, end, ({ partition, brokerOffset }) => {
      seen.push(`${partition}/${brokerOffset}`)
      return ++taken < 5
    })
  }
  expect(goes).toBe(3)
  expect(new Set(seen).size).toBe(12)
  expect(seen).toHaveLength(12)
})

test.each([
  ['before its commit', false],
  ['after its commit, unheard', true]
])('a run that dies %s neither loses nor doubles', async (_, committed) => {
  const place = await stage(30)
  const group = uniqueTopic('group')
  const kafka = dying(shared.client(), committed)
  await expect(run(place, { group, kafka })).rejects.toThrow('the cable')
  const next = await run(place, { group })
  expect(next).toMatchObject({ sent: committed ? 0 : 20, leftTotal: 10 })
  const ids = await idsIn(place.target, 20)
  expect(ids).toHaveLength(20)
  expect(new Set(ids).size).toBe(20)
})

/** Its first commit is never answered. */
function dying(kafka: Kafka, committed: boolean): Kafka {
  const producerOf: Kafka['producer'] = options => {
    const producer = kafka.producer(options)
    const transaction = async () => {
      const opened = await producer.transaction()
      const commit = async () => {
        if (committed) await opened.commit()
        throw new Error('somebody pulled the cable')
      }
      return { ...opened, commit }
    }
    return { ...producer, transaction }
  }
  const { consumer, admin, logger } = kafka
  return { producer: producerOf, consumer: consumer.bind(kafka), admin: admin.bind(kafka), logger }
}
