import type { AgentWord } from './agent-status.ts'

/** Apart from the schema, whose library is more than the thread that sends words needs. */
export function encodeAgentWord(word: AgentWord): Buffer {
  return Buffer.from(JSON.stringify(word))
}
