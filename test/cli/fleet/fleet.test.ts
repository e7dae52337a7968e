import { expect, test } from 'vitest'
import { fleetText } from '../../../cli/fleet/fleet-text.ts'
import { fleetJson, fleetOf, parseStates } from '../../../cli/fleet/fleet-view.ts'
import { NO_PAINT, PAINT } from '../../../cli/terminal/text.ts'
import { type AgentWord, encodeAgentWord } from '../../../core/contract/agent-status.ts'
import { AgentTable } from '../../../core/contract/agent-table.ts'
import { wordFor } from '../../kit/agent-word.ts'

const NOW = Date.UTC(2026, 10, 23, 10)

function fleet(...said: [word: AgentWord, agoMs: number][]): AgentTable {
  const table = new AgentTable()
  for (const [word, agoMs] of said) {
    const record = { key: Buffer.from(word.agentId), value: encodeAgentWord(word) }
    table.take(record, NOW - agoMs)
  }
  return table
}

const backlog = (records: number, ageMs: number, etaSeconds: number | null) => ({
  ...{ records, bytes: 1000 * records, ageMs, etaSeconds }
})

const EVERYBODY = fleet(
  [wordFor('fine'), 12_000],
  [wordFor('leaving', { state: 'stopped', backlog: backlog(7, 0, null) }), 3 * 3_600_000],
  [wordFor('catching-up', { mode: 'draining', backlog: backlog(9000, 60_000, 90) }), 1000],
  [wordFor('cut-off', { mode: 'buffering', backlog: backlog(500, 20_000, null) }), 1000],
  [wordFor('cut-off-longer', { mode: 'buffering', backlog: backlog(5, 40_000, null) }), 1000],
  [wordFor('stuck', { mode: 'parked' }), 1000],
  [wordFor('brimming', { mode: 'full', drops: { 'log.full': 40, 'log.age': 2 } }), 1000],
  [wordFor('gone', { backlog: backlog(3, 500, 1) }), 240_000]
)

test('the worst stands first, and of one state the one that is behind longest', () => {
  const rows = fleetOf(EVERYBODY, NOW).map(({ state, word }) => `${word.agentId} ${state}`)
  expect(rows).toEqual([
    'gone away',
    'stuck parked',
    'brimming full',
    'cut-off-longer buffering',
    'cut-off buffering',
    'catching-up draining',
    'leaving stopped',
    'fine streaming'
  ])
})

test('the table tells backlog, losses, version and last word of each', () => {
  const lines = fleetText(EVERYBODY, fleetOf(EVERYBODY, NOW), 'fieldline.status', NO_PAINT)
  expect(lines).toEqual([
    'agent           mode       backlog     disk  oldest         ETA  dropped  version  config    last word',
    'gone            streaming        3  2.9 KiB     1 s           -        -  0.1.0    9f2c03d1  away 4 min',
    'stuck           parked           -        -       -           -        -  0.1.0    9f2c03d1  1 s ago',
    'brimming        full             -        -       -           -       42  0.1.0    9f2c03d1  1 s ago',
    'cut-off-longer  buffering        5  4.9 KiB    40 s       grows        -  0.1.0    9f2c03d1  1 s ago',
    'cut-off         buffering      500  488 KiB    20 s       grows        -  0.1.0    9f2c03d1  1 s ago',
    'catching-up     draining     9,000  8.6 MiB   1 min  1 min 30 s        -  0.1.0    9f2c03d1  1 s ago',
    'leaving         streaming        7  6.8 KiB       -           -        -  0.1.0    9f2c03d1  stopped 3 h ago',
    'fine            streaming        -        -       -           -        -  0.1.0    9f2c03d1  12 s ago',
    '',
    '8 agents: 1 away, 1 parked, 1 full, 2 buffering, 1 draining, 1 stopped, 1 streaming'
  ])
})

test('colours change no letter', () => {
  const agents = fleetOf(EVERYBODY, NOW)
  const coloured = fleetText(EVERYBODY, agents, 'fieldline.status', PAINT)
  expect(coloured.join('\n')).toContain('\x1b[31m')
  const bare = coloured.map(line => line.replaceAll(new RegExp(`${'\x1b'}\\[\\d+m`, 'g'), ''))
  expect(bare).toEqual(fleetText(EVERYBODY, agents, 'fieldline.status', NO_PAINT))
})

test('who is away is told by the time that is asked for', () => {
  const table = fleet([wordFor('a'), 100_000], [wordFor('b', { intervalMs: 60_000 }), 100_000])
  expect(fleetOf(table, NOW).map(({ state }) => state)).toEqual(['away', 'streaming'])
  expect(fleetOf(table, NOW, 30_000).map(({ state }) => state)).toEqual(['away', 'away'])
  expect(fleetOf(table, NOW, 600_000).map(({ state }) => state)).toEqual(['streaming', 'streaming'])
})

test('a fleet that has said nothing is told how it would', () => {
  const [line] = fleetText(new AgentTable(), [], 'fieldline.status', NO_PAINT)
  expect(line).toContain('No agent has said anything in fieldline.status yet')
})

test('what is not shown is counted below', () => {
  const table = new AgentTable(2)
  for (const id of ['a', 'b', 'c']) {
    table.take({ key: Buffer.from(id), value: encodeAgentWord(wordFor(id)) }, NOW)
  }
  table.take({ key: Buffer.from('d'), value: Buffer.from('?') }, NOW)
  const lines = fleetText(table, fleetOf(table, NOW), 'fieldline.status', NO_PAINT)
  expect(lines.slice(-3)).toEqual([
    '2 agents: 2 streaming',
    '1 further agent not shown: --forget those that are gone for good.',
    '1 record passed over: no word of this version.'
  ])
})

test('a script gets each word as it was said, and what is made of it', () => {
  const word = wordFor('gone', { mode: 'draining' })
  const table = fleet([word, 240_000])
  expect(fleetJson(table, fleetOf(table, NOW), NOW)).toEqual({
    at: '2026-11-23T10:00:00.000Z',
    agents: [
      {
        ...{ agentId: 'gone', state: 'away', presence: 'away' },
        ...{ lastWordAt: '2026-11-23T09:56:00.000Z', silentMs: 240_000, word }
      }
    ],
    counts: { away: 1 },
    ...{ unreadable: 0, notShown: 0 }
  })
})

test('states to fail on are a closed list', () => {
  expect(parseStates('parked, full,away')).toEqual(['parked', 'full', 'away'])
  expect(() => parseStates('away,dead')).toThrow(/'dead' is no state; there are: away, parked/)
})
