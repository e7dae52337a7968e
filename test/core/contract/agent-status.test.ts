import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import {
  AGENT_STATUS_SCHEMA_ID,
  type AgentWord,
  agentWordSchema,
  decodeAgentWord,
  encodeAgentWord
} from '../../../core/contract/agent-status.ts'
import { AgentTable, awayAfterMs, presenceOf } from '../../../core/contract/agent-table.ts'
import { packageRoot } from '../../../core/runtime/package-root.ts'
import { wordFor } from '../../kit/agent-word.ts'

const NOW = Date.UTC(2026, 10, 23)

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value))
const record = (word: AgentWord) => ({
  key: Buffer.from(word.agentId),
  value: encodeAgentWord(word)
})

test('the published schema is the one words are read by', () => {
  const file = path.join(packageRoot(), 'core/contract/agent-status-v1.json')
  const { $schema, ...rest } = z.toJSONSchema(agentWordSchema, { io: 'input' })
  expect(JSON.parse(fs.readFileSync(file, 'utf8'))).toEqual({
    ...{ $schema, $id: AGENT_STATUS_SCHEMA_ID },
    ...rest
  })
})

test('a word comes back as it was said, without the fields that a later version added', () => {
  const word = wordFor('gateway-7')
  expect(decodeAgentWord(encodeAgentWord(word))).toEqual(word)
  const later = { ...word, mood: 'fine', backlog: { ...word.backlog, topics: 3 } }
  expect(decodeAgentWord(bytes(later))).toEqual(word)
})

test.each([
  ['no JSON', Buffer.from('{')],
  [
    'another version',
    bytes({ ...wordFor('a'), schema: 'urn:fieldline:schema:agent-status-v2.json' })
  ],
  ['a field short', bytes({ ...wordFor('a'), mode: undefined })],
  ['an instant that is none', bytes({ ...wordFor('a'), at: 'noon' })],
  ['a hundred kilobytes', bytes({ ...wordFor('a'), more: 'x'.repeat(100_000) })]
])('%s is no word', (_, value) => {
  expect(decodeAgentWord(value)).toBeUndefined()
})

test('the table keeps the last word of each agent, and forgets who is taken out', () => {
  const table = new AgentTable()
  table.take(record(wordFor('a', { mode: 'buffering' })), NOW)
  table.take(record(wordFor('b')), NOW)
  table.take(record(wordFor('a', { mode: 'draining' })), NOW + 5)
  expect([...table].map(a => [a.word.agentId, a.word.mode, a.heardAt])).toEqual([
    ['a', 'draining', NOW + 5],
    ['b', 'streaming', NOW]
  ])
  table.take({ key: Buffer.from('a'), value: null }, NOW + 6)
  expect([...table].map(a => a.word.agentId)).toEqual(['b'])
})

test('what is no word, or stands under another key, is counted and changes nothing', () => {
  const table = new AgentTable()
  table.take({ key: Buffer.from('a'), value: Buffer.from('?') }, NOW)
  table.take({ key: Buffer.from('a'), value: encodeAgentWord(wordFor('b')) }, NOW)
  table.take({ key: null, value: encodeAgentWord(wordFor('b')) }, NOW)
  expect([table.size, table.unreadable]).toEqual([0, 3])
})

test('a full table counts further agents, and takes them when there is room', () => {
  const table = new AgentTable(2)
  for (const id of ['a', 'b', 'c', 'c']) table.take(record(wordFor(id)), NOW)
  expect([table.size, table.beyond]).toEqual([2, 1])
  table.take({ key: Buffer.from('a'), value: null }, NOW)
  table.take(record(wordFor('c')), NOW)
  expect([...table].map(a => a.word.agentId)).toEqual(['b', 'c'])
})

test('an agent is away when it has missed three words, and stopped when it has said so', () => {
  const here = { word: wordFor('a', { intervalMs: 10_000 }), heardAt: NOW, saidAt: NOW }
  expect(awayAfterMs(here)).toBe(30_000)
  expect(presenceOf(here, NOW + 30_000)).toBe('here')
  expect(presenceOf(here, NOW + 30_001)).toBe('away')
  expect(presenceOf(here, NOW + 30_001, 60_000)).toBe('here')
  // A reader whose clock is behind the brokers'.
  expect(presenceOf(here, NOW - 5_000)).toBe('here')
  const stopped = { word: wordFor('a', { state: 'stopped' }), heardAt: NOW, saidAt: NOW }
  expect(presenceOf(stopped, NOW + 1e9)).toBe('stopped')
})
