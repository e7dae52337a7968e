import { expect, test } from 'vitest'
import { Backoff } from '../../../agent/uplink/backoff.ts'
import type { DeliveryOptions, LaneState } from '../../../agent/uplink/delivery.ts'
import { DeliveryFaults } from '../../../agent/uplink/delivery-faults.ts'
import type { Verdict } from '../../../agent/uplink/verdict.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const never = new AbortController().signal
const away: Verdict = { action: 'retry', code: 'KafkaJSConnectionError', message: 'refused' }
const noTopic: Verdict = {
  action: 'park',
  code: 'UNKNOWN_TOPIC_OR_PARTITION',
  message: 'no such topic',
  topic: 'iot.p'
}

function faultsOf() {
  const states: LaneState[] = []
  const lines: Record<string, unknown>[] = []
  const faults = new DeliveryFaults({
    lane: 'telemetry',
    onState: (state: LaneState) => states.push(state),
    logger: createLogger('info', line => lines.push(JSON.parse(line))),
    seed: 1
  } as unknown as DeliveryOptions)
  const handle = (verdict: Verdict, refine = () => false) =>
    faults.handle(verdict, refine, AbortSignal.abort())
  return { faults, states, lines, handle, events: () => lines.map(({ event }) => event) }
}

test('an outage is told once, and its end once, however many attempts it takes', async () => {
  const { faults, states, events, handle } = faultsOf()
  for (let n = 0; n < 5; n++) await handle(away)
  await handle({ ...away, code: 'KafkaJSRequestTimeoutError' })
  faults.over()
  faults.over()
  expect(events()).toEqual(['uplink.waiting', 'uplink.recovered'])
  expect(states.at(0)).toMatchObject({ kind: 'waiting', code: away.code, message: 'refused' })
  expect(states.at(-1)).toEqual({ kind: 'streaming' })
})

test('a parked lane names the topic and what to do, each trouble once', async () => {
  const { states, lines, events, handle } = faultsOf()
  await handle(noTopic)
  await handle(noTopic)
  await handle({ ...noTopic, code: 'TOPIC_AUTHORIZATION_FAILED' })
  expect(events()).toEqual(['uplink.parked', 'uplink.parked'])
  expect(lines[0]).toMatchObject({ level: 'error', topic: 'iot.p' })
  expect(lines[0].msg).toContain('fieldline topics create')
  expect(states[0]).toMatchObject({ kind: 'parked', topic: 'iot.p' })
})

test('what can be split is split without a wait and without a line; what cannot parks', async () => {
  const { faults, events, handle } = faultsOf()
  const tooLarge: Verdict = { action: 'split', code: 'MESSAGE_TOO_LARGE', message: 'm' }
  await faults.handle(tooLarge, () => true, never)
  expect(events()).toEqual([])
  await handle(tooLarge)
  expect(events()).toEqual(['uplink.parked'])
})

test('waits grow from about 0.1 s to at most 2 s, differ by seed, and end with the signal', async () => {
  const waits = (seed: number) => {
    const prng = new Prng(seed)
    return Array.from({ length: 3 }, () => prng.float())
  }
  expect(waits(1)).not.toEqual(waits(2))
  const backoff = new Backoff(new Prng(1))
  const startedAt = performance.now()
  await backoff.wait(never)
  expect(performance.now() - startedAt).toBeLessThan(200)
  for (let n = 0; n < 50; n++) await backoff.wait(AbortSignal.abort())
  expect(performance.now() - startedAt).toBeLessThan(400)
})

test('a time that even the dead-letter topic refuses points to the agent’s clock', async () => {
  const { lines, handle } = faultsOf()
  await handle({ action: 'dead_letter', code: 'INVALID_TIMESTAMP', message: 'out of range' })
  expect(lines[0]).toMatchObject({ event: 'uplink.parked' })
  expect(lines[0].msg).toContain("agent's clock")
})
