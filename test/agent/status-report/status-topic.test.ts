import { expect, test } from 'vitest'
import { StatusTopic, type WordWriter } from '../../../agent/status-report/status-topic.ts'
import { decodeAgentWord } from '../../../core/contract/agent-status.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import { wordFor } from '../../kit/agent-word.ts'

/** A Kafka that answers as it is told, and a clock that stands until it is moved. */
function kit() {
  const clock = { ms: 0, now: () => 1_795_000_000_000 + clock.ms, monotonic: () => clock.ms }
  const lines: string[] = []
  const kafka = {
    fault: undefined as string | undefined,
    hangs: false,
    opened: 0,
    closed: 0,
    written: [] as string[]
  }
  const answer = async () => {
    if (kafka.hangs) await new Promise(() => {})
    if (kafka.fault) throw new Error(kafka.fault)
  }
  const writer: WordWriter = {
    write: async (agentId, value) => {
      await answer()
      kafka.written.push(`${agentId} ${decodeAgentWord(value)?.mode}`)
    },
    close: async () => {
      kafka.closed++
    }
  }
  const topic = new StatusTopic({
    topic: 'fieldline.status',
    open: async () => {
      await answer()
      kafka.opened++
      return writer
    },
    judge: error => {
      const { message } = error as Error
      return { action: message === 'AWAY' ? 'retry' : 'park', code: message, message }
    },
    clock,
    logger: createLogger('warn', line => lines.push(line))
  })
  /** Says it, and waits until it is written, refused or lost. */
  const say = async (mode: 'streaming' | 'buffering' = 'streaming') => {
    topic.say(wordFor('gateway-7', { mode }))
    await new Promise(setImmediate)
  }
  return { clock, kafka, topic, say, lines }
}

test('words go out one after another over one connection', async () => {
  const { kafka, topic, say } = kit()
  expect(topic.view).toEqual({ topic: 'fieldline.status', state: 'connecting' })
  await say()
  await say('buffering')
  expect(kafka.written).toEqual(['gateway-7 streaming', 'gateway-7 buffering'])
  expect(kafka.opened).toBe(1)
  expect(topic.view.state).toBe('writing')
})

test('while a word is under way further ones are dropped, none is kept', async () => {
  const { kafka, topic, say } = kit()
  kafka.hangs = true
  await say()
  kafka.hangs = false
  await say('buffering')
  expect(kafka.written).toEqual([])
  expect(topic.view.state).toBe('connecting')
})

test('Kafka away is no line in the log, and it is asked again ever more rarely, up to 30 s', async () => {
  const { clock, kafka, topic, say, lines } = kit()
  kafka.fault = 'AWAY'
  const triedAt: number[] = []
  for (; clock.ms <= 130_000; clock.ms += 1000) {
    const before = topic.view
    await say()
    if (topic.view !== before) triedAt.push(clock.ms)
  }
  expect(triedAt).toEqual([0, 2000, 6000, 14_000, 30_000, 60_000, 90_000, 120_000])
  const since = 1_795_000_000_000
  expect(topic.view).toMatchObject({
    state: 'waiting',
    lastError: { code: 'AWAY', sinceAt: since }
  })
  expect(lines).toEqual([])
  kafka.fault = undefined
  clock.ms += 30_000
  await say()
  expect(topic.view).toEqual({ topic: 'fieldline.status', state: 'writing' })
})

test('a missing right is told once, shown, and asked for again every 5 minutes at most', async () => {
  const { clock, kafka, topic, say, lines } = kit()
  kafka.fault = 'TOPIC_AUTHORIZATION_FAILED'
  let tried = 0
  for (; clock.ms < 3_600_000; clock.ms += 30_000) {
    const before = topic.view
    await say()
    if (topic.view !== before) tried++
  }
  expect(topic.view).toMatchObject({
    state: 'refused',
    lastError: { code: 'TOPIC_AUTHORIZATION_FAILED', sinceAt: 1_795_000_000_000 }
  })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('"event":"status.refused"')
  expect(tried).toBeLessThan(20)
})

test('a topic that is made a moment after the first word is no line in the log', async () => {
  const { clock, kafka, say, lines } = kit()
  kafka.fault = 'UNKNOWN_TOPIC_OR_PARTITION'
  await say()
  kafka.fault = undefined
  clock.ms = 30_000
  await say()
  expect([kafka.written.length, lines.length]).toEqual([1, 0])
})

test('after an error the connection is closed, and a new one made', async () => {
  const { clock, kafka, say } = kit()
  await say()
  kafka.fault = 'AWAY'
  await say()
  expect(kafka.closed).toBe(1)
  kafka.fault = undefined
  clock.ms = 5000
  await say()
  expect([kafka.opened, kafka.written.length]).toEqual([2, 2])
})

test('the last word is written and the connection closed', async () => {
  const { kafka, topic, say } = kit()
  await say()
  await topic.end(wordFor('gateway-7', { mode: 'draining' }))
  expect(kafka.written.at(-1)).toBe('gateway-7 draining')
  expect(kafka.closed).toBe(1)
  await say()
  expect(kafka.written).toHaveLength(2)
})

test('a stop does not wait for a Kafka that is away', async () => {
  const { kafka, topic, say } = kit()
  kafka.fault = 'AWAY'
  await say()
  kafka.hangs = true
  const from = performance.now()
  await topic.end(wordFor('gateway-7'))
  expect(performance.now() - from).toBeLessThan(500)
})

test('a stop waits for a Kafka that does not answer 1.5 s at most', async () => {
  const { kafka, topic, say } = kit()
  await say()
  kafka.hangs = true
  const from = performance.now()
  await topic.end(wordFor('gateway-7'))
  expect(performance.now() - from).toBeGreaterThan(1400)
  expect(performance.now() - from).toBeLessThan(3000)
  expect([kafka.written.length, kafka.closed]).toEqual([1, 1])
})
