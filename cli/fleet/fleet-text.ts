import type { AgentTable } from '../../core/contract/agent-table.ts'
import { bytesText, count, durationText, printable, table as tableOf } from '../log/text.ts'
import { MODE_COLOURS, type Paint, thousands } from '../terminal/text.ts'
import { countStates, type FleetAgent, type FleetState } from './fleet-view.ts'

const COLUMNS = [
  ...[{ title: 'agent' }, { title: 'mode' }],
  ...[
    { title: 'backlog', right: true },
    { title: 'disk', right: true }
  ],
  ...[
    { title: 'oldest', right: true },
    { title: 'ETA', right: true }
  ],
  ...[{ title: 'dropped', right: true }, { title: 'version' }, { title: 'config' }],
  { title: 'last word' }
]
const HASH_LETTERS = 8

/** The table, worst first, with what there is to say below it. */
export function fleetText(
  known: AgentTable,
  agents: readonly FleetAgent[],
  topic: string,
  paint: Paint
): string[] {
  if (agents.length === 0 && known.unreadable === 0) {
    return [
      `No agent has said anything in ${topic} yet. Agents of this version do so every ` +
        'uplink.status_interval, once the topic is there and they may write to it.'
    ]
  }
  const [head, ...rows] = tableOf(
    COLUMNS,
    agents.map(agent => cellsOf(agent, paint))
  )
  const states = Object.entries(countStates(agents)) as [FleetState, number][]
  const sum = states.map(([state, n]) => painted(`${thousands(n)} ${state}`, state, paint))
  const lines = [
    paint.dim(head),
    ...rows,
    '',
    `${count(agents.length, 'agent')}: ${sum.join(', ')}`
  ]
  if (known.beyond > 0) {
    lines.push(
      `${count(known.beyond, 'further agent')} not shown: --forget those that are gone for good.`
    )
  }
  if (known.unreadable > 0) {
    lines.push(`${count(known.unreadable, 'record')} passed over: no word of this version.`)
  }
  return lines
}

function cellsOf({ state, presence, silentMs, dropped, word }: FleetAgent, paint: Paint): string[] {
  const { backlog, mode, version, configHash, agentId } = word
  const isOld = presence === 'away'
  // What it said before it fell silent holds no longer.
  const old = (text: string) => (isOld ? paint.dim(text) : text)
  const waits = backlog.records > 0
  const last = {
    here: `${durationText(silentMs)} ago`,
    stopped: `stopped ${durationText(silentMs)} ago`,
    away: painted(`away ${durationText(silentMs)}`, state, paint)
  }
  return [
    printable(agentId),
    isOld ? old(mode) : painted(mode, presence === 'here' ? mode : 'stopped', paint),
    old(waits ? thousands(backlog.records) : '-'),
    old(waits ? bytesText(backlog.bytes) : '-'),
    old(waits && backlog.ageMs > 0 ? durationText(backlog.ageMs) : '-'),
    old(presence === 'here' ? etaText(backlog.etaSeconds, waits) : '-'),
    dropped > 0 ? paint.red(thousands(dropped)) : '-',
    printable(version),
    printable(configHash.slice(0, HASH_LETTERS)),
    last[presence] + (word.clock === 'unsynced' && presence === 'here' ? ', clock not set' : '')
  ]
}

function etaText(etaSeconds: number | null, waits: boolean): string {
  if (etaSeconds === null) return 'grows'
  return waits ? durationText(1000 * etaSeconds) : '-'
}

function painted(text: string, state: FleetState, paint: Paint): string {
  if (state === 'stopped') return paint.dim(text)
  return paint[state === 'away' ? 'red' : MODE_COLOURS[state]](text)
}
