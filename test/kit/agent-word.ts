import { AGENT_STATUS_SCHEMA_ID, type AgentWord } from '../../core/contract/agent-status.ts'

/** What an agent says that is well, save what is given. */
export function wordFor(agentId: string, said: Partial<AgentWord> = {}): AgentWord {
  return {
    schema: AGENT_STATUS_SCHEMA_ID,
    agentId,
    ...{ state: 'running', at: '2026-11-23T00:00:00.000Z', startedAt: '2026-11-22T00:00:00.000Z' },
    ...{ intervalMs: 30_000, clock: 'synced', mode: 'streaming' },
    backlog: { records: 0, bytes: 0, ageMs: 0, etaSeconds: 0 },
    lanes: { telemetry: { state: 'streaming', records: 0, bytes: 0, ageMs: 0 } },
    ...{ drops: { 'log.full': 0 }, deadLetters: {} },
    ...{ version: '0.1.0', configHash: '9f2c03d1a7b4' },
    ...said
  }
}
