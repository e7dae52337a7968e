import type { AgentWord } from '../../core/contract/agent-status.ts'
import { type AgentTable, type Presence, presenceOf } from '../../core/contract/agent-table.ts'
import { OperationalError } from '../../core/runtime/errors.ts'

/** What can be said of an agent in one word; worst first. */
export const FLEET_STATES = [
  ...(['away', 'parked', 'full', 'buffering', 'draining', 'stopped', 'streaming'] as const)
] as const
export type FleetState = (typeof FLEET_STATES)[number]

export interface FleetAgent {
  state: FleetState
  presence: Presence
  /** Since its last word. */
  silentMs: number
  /** Epoch ms. */
  heardAt: number
  dropped: number
  word: AgentWord
}

/** @param awayAfterMs In place of three intervals of each agent. */
export function fleetOf(table: AgentTable, now: number, awayAfterMs?: number): FleetAgent[] {
  return [...table]
    .map(agent => {
      const { word, heardAt } = agent
      const presence = presenceOf(agent, now, awayAfterMs)
      return {
        ...{ state: presence === 'here' ? word.mode : presence, presence, heardAt, word },
        silentMs: Math.max(0, now - heardAt),
        dropped: Object.values(word.drops).reduce((a, b) => a + b, 0)
      }
    })
    .sort(worstFirst)
}

function worstFirst(a: FleetAgent, b: FleetAgent): number {
  return (
    FLEET_STATES.indexOf(a.state) - FLEET_STATES.indexOf(b.state) ||
    b.word.backlog.ageMs - a.word.backlog.ageMs ||
    (a.word.agentId < b.word.agentId ? -1 : 1)
  )
}

/** How many there are of each state; states that nobody is in are left out. */
export function countStates(agents: readonly FleetAgent[]): Partial<Record<FleetState, number>> {
  const counts: Partial<Record<FleetState, number>> = {}
  for (const state of FLEET_STATES) {
    const count = agents.filter(agent => agent.state === state).length
    if (count > 0) counts[state] = count
  }
  return counts
}

/** @throws {OperationalError} USAGE */
export function parseStates(text: string): FleetState[] {
  return text.split(',').map(part => {
    const name = part.trim()
    const state = FLEET_STATES.find(each => each === name)
    if (state) return state
    throw new OperationalError(
      'USAGE',
      `--fail-on is "${text}": '${name}' is no state; there are: ${FLEET_STATES.join(', ')}`
    )
  })
}

/** What a script gets: the word as it was said, and what is made of it here. */
export function fleetJson(table: AgentTable, agents: readonly FleetAgent[], now: number) {
  return {
    at: new Date(now).toISOString(),
    agents: agents.map(({ state, presence, heardAt, silentMs, word }) => ({
      ...{ agentId: word.agentId, state, presence },
      ...{ lastWordAt: new Date(heardAt).toISOString(), silentMs, word }
    })),
    counts: countStates(agents),
    unreadable: table.unreadable,
    notShown: table.beyond
  }
}
