import { expect, test } from 'vitest'
import { encodeAgentWord } from '../../../core/contract/agent-status.ts'
import type { KafkaMessage } from '../../../core/kafka/client.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import { AgentWords } from '../../../detector/source/agent-words.ts'
import { wordFor } from '../../kit/agent-word.ts'

/** A topic that is read when the test says so, each time so long by a clock that stands else. */
function kit() {
  const clock = { ms: 0, now: () => 1_795_000_000_000 + clock.ms, monotonic: () => clock.ms }
  const lines: string[] = []
  const opened: number[] = []
  const closed: number[] = []
  let fault: string | undefined
  let waiting: ((tookMs: number) => void) | undefined
  let coming: KafkaMessage[] = []
  let asked = () => {}
  const next = new Map([[0, 0]])
  const words = new AgentWords({
    topic: 'fieldline.status',
    open: async from => {
      opened.push(from.get(0) ?? 0)
      if (fault) throw new Error(fault)
      return {
        next,
        read: async take => {
          const answer = new Promise<number>(resolve => {
            waiting = resolve
          })
          asked()
          const tookMs = await answer
          clock.ms += tookMs
          if (fault) throw new Error(fault)
          for (const message of coming) take(message)
          next.set(0, (next.get(0) ?? 0) + coming.length)
          coming = []
        },
        close: async () => {
          closed.push(clock.ms)
        }
      }
    },
    clock,
    logger: createLogger('warn', line => lines.push(line)),
    pollMs: 2
  })
  const abort = new AbortController()
  const running = words.run(abort.signal)
  const whenAsked = () =>
    new Promise<void>(resolve => {
      asked = resolve
      if (waiting) resolve()
    })
  /** Answers the reading that is under way, and waits until the next one has begun. */
  const read = async (tookMs: number, fails?: string) => {
    await whenAsked()
    fault = fails
    const answer = waiting
    waiting = undefined
    const again = whenAsked()
    answer?.(tookMs)
    if (!fails) await again
  }
  const say = (agentId: string) => {
    const value = encodeAgentWord(wordFor(agentId))
    coming.push({ key: Buffer.from(agentId), value, timestamp: '5' } as unknown as KafkaMessage)
  }
  const end = async () => {
    abort.abort()
    waiting?.(0)
    await running
  }
  return { clock, words, read, say, end, opened, closed, lines }
}

test('words are heard from the first reading on, up to when the last one was asked for', async () => {
  const { clock, words, read, say, end } = kit()
  expect(words.heard).toBeUndefined()
  say('gateway-7')
  await read(40)
  expect(words.heard).toEqual({ since: 40, until: 40 })
  expect(words.get('gateway-7')).toMatchObject({ heardAt: 40, saidAt: 5 })
  clock.ms = 2000
  await read(10)
  clock.ms = 4000
  await read(10)
  expect(words.heard).toEqual({ since: 40, until: 2010 })
  await end()
})

test('a reading that took long is a break: agents could not speak either', async () => {
  const { clock, words, read, end } = kit()
  await read(0)
  await read(0)
  clock.ms = 1000
  await read(100_000)
  expect(words.heard).toEqual({ since: 101_000, until: 101_000 })
  await end()
})

test('what fails is opened anew where it was, and until then nobody is heard', async () => {
  const { words, read, say, end, opened, closed, lines } = kit()
  say('gateway-7')
  await read(0)
  await read(0, 'not answered')
  await expect.poll(() => closed.length).toBe(1)
  expect([words.heard, words.error]).toEqual([undefined, 'not answered'])
  expect(words.size).toBe(1)
  await expect.poll(() => opened.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3)
  expect(opened.slice(0, 3)).toEqual([0, 1, 1])
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('"event":"detector.agents_unheard"')
  await end()
})
