import { expect, test } from 'vitest'
import type { AgentStatus } from '../../../agent/status.ts'
import { wordOf } from '../../../agent/status-report/agent-word.ts'
import { decodeAgentWord, encodeAgentWord } from '../../../core/contract/agent-status.ts'

const NOW = Date.parse('2026-11-23T10:00:00.000Z')
const FACTS = { state: 'running', now: NOW, intervalMs: 30_000, configHash: 'c0ffee' } as const

const lane = (records: number, etaSeconds: number | null, more: object = {}) => ({
  ...{ state: 'streaming', backlogRecords: records, backlogBytes: 100 * records },
  ...{ backlogAgeMs: 10 * records, etaSeconds, ...more }
})

function status(lanes: object): AgentStatus {
  return {
    ...{ agentId: 'gateway-7', version: '0.3.0', mode: 'buffering', clock: 'synced' },
    ...{ uptimeMs: 60_000, lanes, drops: { 'log.full': 4 }, deadLetters: { no_route: 2 } }
  } as unknown as AgentStatus
}

test('a word sums up all lanes, and tells why one waits', () => {
  const lastError = { code: 'ECONNREFUSED', message: 'at 10.0.0.7:9092', sinceAt: 1, topic: 't' }
  const telemetry = lane(50, 20, { state: 'waiting', lastError })
  const word = wordOf(status({ telemetry, alerts: lane(3, 0) }), FACTS)
  expect(word).toEqual({
    schema: 'urn:fieldline:schema:agent-status-v1.json',
    ...{ agentId: 'gateway-7', state: 'running', clock: 'synced', mode: 'buffering' },
    ...{ at: '2026-11-23T10:00:00.000Z', startedAt: '2026-11-23T09:59:00.000Z' },
    ...{ intervalMs: 30_000, version: '0.3.0', configHash: 'c0ffee' },
    backlog: { records: 53, bytes: 5300, ageMs: 500, etaSeconds: 20 },
    lanes: {
      telemetry: {
        ...{ state: 'waiting', records: 50, bytes: 5000, ageMs: 500 },
        // The message may name hosts; the fleet is told the code.
        lastError: { code: 'ECONNREFUSED', topic: 't' }
      },
      alerts: { state: 'streaming', records: 3, bytes: 300, ageMs: 30 }
    },
    ...{ drops: { 'log.full': 4 }, deadLetters: { no_route: 2 } }
  })
  expect(decodeAgentWord(encodeAgentWord(word))).toEqual(word)
})

test('a backlog that does not shrink in one lane has no end', () => {
  const word = wordOf(status({ telemetry: lane(50, null), alerts: lane(3, 2) }), FACTS)
  expect(word.backlog.etaSeconds).toBeNull()
})

test('a box that has just begun its time says a word that can be read', () => {
  const word = wordOf(status({ telemetry: lane(0, 0) }), { ...FACTS, now: 5000 })
  expect(word.startedAt).toBe('1970-01-01T00:00:00.000Z')
  expect(decodeAgentWord(encodeAgentWord(word))).toEqual(word)
})
