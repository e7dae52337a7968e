import { expect, test } from 'vitest'
import { encodeAgentWord } from '../../core/contract/agent-status.ts'
import { AgentTable } from '../../core/contract/agent-table.ts'
import type { KafkaMessage } from '../../core/kafka/client.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { AgentWatch } from '../../detector/alert/agent-watch.ts'
import { Muting } from '../../detector/alert/muting.ts'
import { noCentralCounters } from '../../detector/central-counters.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { addCounters, type DetectorCounters, noCounters, pastOf } from '../../detector/counters.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import type { KafkaRecord } from '../../detector/kafka-partition.ts'
import { PartitionDetector, type PartitionSession } from '../../detector/partition-detector.ts'
import { qualitySchema } from '../../detector/quality/quality-config.ts'
import type { AgentWordsView } from '../../detector/source/agent-words.ts'
import { TelemetryDecoder } from '../../detector/source/telemetry-record.ts'
import { wordFor } from '../kit/agent-word.ts'
import { detectorConfig, eventfulReadings } from './kit.ts'

const NAME = { group: 'g', topic: 'telemetry', partition: 0 }
const TOPICS = { alerts: 'alerts', deadLetters: 'letters', state: 'state' }
const SIGNAL = new AbortController().signal

/** A partition in memory: transactions take effect whole or not at all, and fence. */
class MemoryPartition {
  readonly messages: readonly KafkaMessage[]
  readonly topics: Record<string, KafkaRecord[]> = { alerts: [], letters: [], state: [] }
  committed: number | undefined
  first = 0
  /** Counts calls; one of them fails, before its effect or after it. */
  calls = 0
  failAt = -1
  failAfter = false
  #epoch = 0

  constructor(messages: readonly KafkaMessage[]) {
    this.messages = messages
  }

  async open(): Promise<PartitionSession> {
    const epoch = ++this.#epoch
    await this.#step(() => {})
    return {
      committed: this.committed,
      bounds: { first: this.first, end: this.messages.length },
      read: async (topic, take) => {
        await this.#step(() => {})
        for (const { key, value } of this.topics[topic]) {
          take({ key: Buffer.from(key as string), value } as KafkaMessage)
        }
      },
      commit: async (records, offset) => {
        if (epoch !== this.#epoch) throw new Error('fenced')
        await this.#step(() => {
          for (const record of records) this.topics[record.topic].push(record)
          this.committed = offset
        })
      },
      close: async () => {}
    }
  }

  async #step(effect: () => void): Promise<void> {
    const fails = this.calls++ === this.failAt
    if (fails && !this.failAfter) throw new Error('not answered')
    effect()
    if (fails) throw new Error('not answered')
  }
}

function messagesOf(readings: readonly DetectorReading[]): KafkaMessage[] {
  return readings.map((r, offset) => {
    const value = offset % 61 === 60 ? 'broken' : Object.fromEntries(values(r))
    return {
      key: Buffer.from(`${r.site}/${r.device}`),
      value: Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
      timestamp: String(r.at),
      attributes: 0,
      offset: String(offset),
      headers: {
        'fl-id': r.eventId,
        'fl-topic': `telemetry/${r.site}/${r.device}`,
        'fl-received': String(r.receivedAt)
      }
    }
  })
}

function values({ values }: DetectorReading): [string, number][] {
  return values.map(v => [v.metric, v.value])
}

function detectorOf(
  kafka: MemoryPartition,
  now: () => number,
  changes: Partial<DetectorConfig> = {},
  agents?: AgentWatch,
  onGone: (counters: DetectorCounters) => void = () => {}
): PartitionDetector {
  const logger = silentLogger
  return new PartitionDetector({
    ...{ name: NAME, topics: TOPICS, logger, counters: noCentralCounters() },
    open: () => kafka.open(),
    detector: () => new Detector(detectorConfig(changes), { source: '/fieldline/g', logger }),
    decoder: new TelemetryDecoder([
      {
        ...{ name: 'default', match: ['telemetry/{site}/{device}'], site: undefined },
        ...{ topic: 'telemetry', codec: 'json', value: 'payload', fields: undefined }
      }
    ]),
    owns: () => true,
    ...(agents ? { agents } : {}),
    stateIntervalMs: 3000,
    onLate: () => {},
    onGone,
    clock: { now: () => 0, monotonic: now }
  })
}

/** Reads all there is, in batches of chance; begins anew, in a life of its own, after each failure. */
async function readAll(
  kafka: MemoryPartition,
  prng: Prng,
  changes: Partial<DetectorConfig> = {}
): Promise<void> {
  let passedMs = 0
  for (;;) {
    const detector = detectorOf(kafka, () => passedMs, changes)
    try {
      let { position } = await detector.open(SIGNAL)
      while (position < kafka.messages.length) {
        const end = Math.min(kafka.messages.length, position + 1 + prng.int(80))
        await detector.take(kafka.messages.slice(position, end), end)
        passedMs += 500
        await detector.settle()
        position = end
      }
      passedMs += 5000
      await detector.settle()
      return
    } catch (error) {
      expect(String(error)).toMatch(/not answered/)
    }
  }
}

function told({ topics }: MemoryPartition): string[] {
  return [...topics.alerts, ...topics.letters].map(({ key, value }) => `${key} ${value}`)
}

test('whichever call is not answered, before its effect or after it, every alert and dead letter is there once', async () => {
  const messages = messagesOf(eventfulReadings(41, 900))
  const quiet = new MemoryPartition(messages)
  await readAll(quiet, new Prng(1))
  expect(quiet.topics.alerts.length).toBeGreaterThan(10)
  expect(quiet.topics.letters.length).toBe(14)
  expect(quiet.topics.letters[0].headers?.['fl-record']).toBe('telemetry/0/60')
  expect(quiet.calls).toBeGreaterThan(20)
  for (let failAt = 0; failAt < quiet.calls; failAt++) {
    for (const failAfter of [false, true]) {
      const kafka = new MemoryPartition(messages)
      Object.assign(kafka, { failAt, failAfter })
      await readAll(kafka, new Prng(failAt))
      expect(told(kafka)).toEqual(told(quiet))
      expect(kafka.committed).toBe(messages.length)
    }
  }
})

test('whoever had the partition before can commit nothing more', async () => {
  const kafka = new MemoryPartition(messagesOf(eventfulReadings(42, 400)))
  const zombie = detectorOf(kafka, () => 0)
  await zombie.open(SIGNAL)
  await zombie.take(kafka.messages.slice(0, 200), 200)
  await readAll(kafka, new Prng(2))
  const before = told(kafka)
  await zombie.take(kafka.messages.slice(200), 400)
  await expect(zombie.settle()).rejects.toThrow('fenced')
  await zombie.finish()
  expect(told(kafka)).toEqual(before)
  expect(kafka.committed).toBe(400)
})

test('records that retention has taken, and a topic made anew, are gone on from', async () => {
  const kafka = new MemoryPartition(messagesOf(eventfulReadings(43, 300)))
  await readAll(kafka, new Prng(3))
  const longer = new MemoryPartition(messagesOf(eventfulReadings(43, 500)))
  Object.assign(longer, { topics: kafka.topics, committed: 300, first: 400 })
  const detector = detectorOf(longer, () => 0)
  expect(await detector.open(SIGNAL)).toEqual({ position: 400, end: 500 })
  const anew = new MemoryPartition(messagesOf(eventfulReadings(44, 100)))
  Object.assign(anew, { topics: kafka.topics, committed: 300 })
  expect(await detectorOf(anew, () => 0).open(SIGNAL)).toEqual({ position: 0, end: 100 })
})

test('a state that cannot be used is learned anew from what is kept, and nothing is said twice', async () => {
  const messages = messagesOf(eventfulReadings(45, 900))
  const kafka = new MemoryPartition(messages.slice(0, 600))
  await readAll(kafka, new Prng(4))
  const whole = new MemoryPartition(messages)
  await readAll(whole, new Prng(5))
  const marker = kafka.topics.state.findLast(({ key }) => key === 'g/telemetry/#0')
  Object.assign(marker as KafkaRecord, { value: Buffer.from('nonsense') })
  const again = new MemoryPartition(messages)
  Object.assign(again, { topics: kafka.topics, committed: 600 })
  await readAll(again, new Prng(6))
  expect(told(again)).toEqual(told(whole))
})

/** Alerts of limits that are open at 300; the state is of there, or of some records before. */
async function withOpenLimits(messages: KafkaMessage[], stateAt: number) {
  const limits = [{ metrics: ['temperature'], max: 58 }]
  const changes = { quality: qualitySchema.parse({ limits }), offDelayReadings: 1000 }
  const before = new MemoryPartition(messages.slice(0, stateAt))
  await readAll(before, new Prng(7), changes)
  const state = [...before.topics.state]
  Object.assign(before, { messages: messages.slice(0, 300) })
  await readAll(before, new Prng(8), changes)
  return { topics: { ...before.topics, state }, committed: 300 }
}

test.each([300, 240])(
  'alerts of a kind that is no longer looked for are cleared once, whatever is not answered (state at %i)',
  async stateAt => {
    const messages = messagesOf(eventfulReadings(46, 420))
    const begin = async (): Promise<MemoryPartition> =>
      Object.assign(new MemoryPartition(messages), await withOpenLimits(messages, stateAt))
    const quiet = await begin()
    const before = told(quiet).length
    await readAll(quiet, new Prng(9))
    const cleared = quiet.topics.alerts.filter(({ value }) =>
      /"range".*"cleared"|"cleared".*"range"/.test(String(value))
    )
    expect(told(quiet).length).toBeGreaterThan(before)
    expect(cleared.length).toBeGreaterThan(3)
    for (let failAt = 0; failAt < quiet.calls; failAt++) {
      for (const failAfter of [false, true]) {
        const kafka = await begin()
        Object.assign(kafka, { failAt, failAfter, calls: 0 })
        await readAll(kafka, new Prng(failAt))
        expect(told(kafka)).toEqual(told(quiet))
      }
    }
  }
)

/** An agent says a word, is away for minutes, and comes back; then all that is to be told is told. */
async function tellOfAgent(kafka: MemoryPartition): Promise<void> {
  let passedMs = 0
  const clock = { now: () => passedMs, monotonic: () => passedMs }
  const table = new AgentTable()
  const words: AgentWordsView = {
    get: agentId => table.get(agentId),
    [Symbol.iterator]: () => table[Symbol.iterator](),
    get heard() {
      return { since: 0, until: passedMs }
    }
  }
  const source = '/fieldline/g'
  const newWatch = () =>
    new AgentWatch({ ...{ source, words, clock }, countDevices: () => {}, muting: new Muting([]) })
  const say = () => {
    const value = encodeAgentWord(wordFor('gateway-7'))
    table.take({ key: Buffer.from('gateway-7'), value, timestamp: String(passedMs) }, passedMs)
  }
  say()
  const end = kafka.messages.length
  let own: PartitionDetector | undefined
  /** If need be another instance takes the partition over, and knows what Kafka knows. */
  const settle = async (): Promise<void> => {
    for (;;) {
      try {
        if (!own) {
          own = detectorOf(kafka, clock.monotonic, {}, newWatch())
          const { position } = await own.open(SIGNAL)
          if (position < end) await own.take(kafka.messages.slice(position), end)
        }
        return await own.settle()
      } catch (error) {
        expect(String(error)).toMatch(/not answered/)
        own = undefined
        passedMs += 1000
      }
    }
  }
  await settle()
  passedMs = 300_000
  await settle()
  passedMs = 600_000
  say()
  await settle()
}

test('whatever is not answered, that an agent is away is told once, and its end once', async () => {
  const messages = messagesOf(eventfulReadings(47, 50))
  const idsOf = ({ topics }: MemoryPartition) =>
    topics.alerts.map(({ value }) => JSON.parse(String(value)).id)
  const wanted = ['fieldline/gateway-7/-/silent/0#1', 'fieldline/gateway-7/-/silent/0#2']
  const quiet = new MemoryPartition(messages)
  await tellOfAgent(quiet)
  expect(idsOf(quiet)).toEqual(wanted)
  expect(quiet.topics.state.findLast(({ key }) => key === 'g/#agent/gateway-7')?.value).toBeNull()
  for (let failAt = 0; failAt < quiet.calls; failAt++) {
    for (const failAfter of [false, true]) {
      const kafka = new MemoryPartition(messages)
      Object.assign(kafka, { failAt, failAfter })
      await tellOfAgent(kafka)
      expect(idsOf(kafka)).toEqual(wanted)
    }
  }
})

test('what a partition has counted is handed over once each time it is given up, and nothing of what it holds', async () => {
  const kafka = new MemoryPartition(messagesOf(eventfulReadings(43, 400)))
  const gone: DetectorCounters[] = []
  const detector = detectorOf(
    kafka,
    () => 0,
    {},
    undefined,
    counters => gone.push(counters)
  )
  await detector.open(SIGNAL)
  await detector.take(kafka.messages.slice(0, 200), 200)
  const first = detector.detector!.counters()
  expect(first.scored).toBeGreaterThan(0)
  await detector.settle()
  // Not answered: it is opened anew.
  kafka.failAt = kafka.calls
  await detector.take(kafka.messages.slice(200, 300), 300)
  const second = detector.detector!.counters()
  await expect(detector.open(SIGNAL)).rejects.toThrow('not answered')
  expect(gone).toEqual([second])
  await detector.close()
  expect(gone).toHaveLength(1)
  const sum = noCounters()
  addCounters(sum, pastOf(second))
  expect(sum).toMatchObject({ scored: second.scored, series: 0, openAlerts: 0 })
})
