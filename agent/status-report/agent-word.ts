import { AGENT_STATUS_SCHEMA_ID, type AgentWord } from '../../core/contract/agent-status.ts'
import type { AgentStatus } from '../status.ts'

interface WordFacts {
  state: AgentWord['state']
  /** Epoch ms. */
  now: number
  intervalMs: number
  configHash: string
}

/** What an agent says to the fleet, from what it says to whoever asks it. */
export function wordOf(status: AgentStatus, facts: WordFacts): AgentWord {
  const lanes = Object.entries(status.lanes)
  const all = lanes.map(([, lane]) => lane)
  const etas = all.map(lane => lane.etaSeconds)
  return {
    schema: AGENT_STATUS_SCHEMA_ID,
    agentId: status.agentId,
    state: facts.state,
    at: instant(facts.now),
    startedAt: instant(facts.now - status.uptimeMs),
    intervalMs: facts.intervalMs,
    clock: status.clock,
    mode: status.mode,
    backlog: {
      records: sum(all.map(lane => lane.backlogRecords)),
      bytes: sum(all.map(lane => lane.backlogBytes)),
      ageMs: Math.max(0, ...all.map(lane => lane.backlogAgeMs)),
      etaSeconds: etas.includes(null) ? null : Math.max(0, ...etas.map(Number))
    },
    lanes: Object.fromEntries(
      lanes.map(([name, lane]) => {
        const { state, backlogRecords, backlogBytes, backlogAgeMs, lastError } = lane
        const backlog = { records: backlogRecords, bytes: backlogBytes, ageMs: backlogAgeMs }
        const { code, topic } = lastError ?? {}
        const told = code === undefined ? {} : { lastError: { code, ...(topic ? { topic } : {}) } }
        return [name, { state, ...backlog, ...told }]
      })
    ),
    drops: status.drops,
    deadLetters: status.deadLetters,
    version: status.version,
    configHash: facts.configHash
  }
}

/** A box without a clock of its own may be anywhere in time, but no further than dates go. */
function instant(at: number): string {
  return new Date(Math.max(0, at)).toISOString()
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}
