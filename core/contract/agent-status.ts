import { z } from 'zod'

export { encodeAgentWord } from './agent-word-bytes.ts'

/*
 * What an agent says of itself in the topic `fieldline.status`: one *word* every `intervalMs` and a last
 * one at a stop, under its id as the key. The topic is compacted: it keeps the last word of each agent.
 * A record without a value takes an agent out of the fleet.
 *
 * JSON. Within version 1 fields may be added, none change or go: a reader passes over what it does not
 * know. Published as `agent-status-v1.json`, which a test compares with this file.
 */

/**
 * What an agent is doing, in one word: `streaming`, readings reach Kafka as they come; `buffering`,
 * Kafka is away and they wait on disk; `draining`, it is back and the backlog shrinks; `full`, the
 * log is at its limit and the overflow policy works; `parked`, a person must act.
 */
export const MODES = ['streaming', 'buffering', 'draining', 'full', 'parked'] as const
export type Mode = (typeof MODES)[number]

export const AGENT_STATUS_SCHEMA_ID = 'urn:fieldline:schema:agent-status-v1.json'

const instant = () =>
  z
    .string()
    .refine(text => !Number.isNaN(Date.parse(text)))
    .meta({ format: 'date-time', description: "RFC 3339, by the agent's clock" })
const total = () => z.number().int().min(0)

const backlogFields = {
  records: total().describe('Records that are not in Kafka yet'),
  bytes: total().describe('The disk they take, about'),
  ageMs: z.number().min(0).describe('How long the oldest of them has waited')
}

export const agentWordSchema = z
  .object({
    schema: z.literal(AGENT_STATUS_SCHEMA_ID),
    agentId: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,64}$/)
      .describe('Also the key of the record'),
    state: z
      .enum(['running', 'stopped'])
      .describe('`stopped`: the last word of an orderly stop; what is not delivered waits on disk'),
    at: instant(),
    startedAt: instant(),
    intervalMs: z.number().int().min(1).describe('When the next word is due'),
    clock: z.enum(['synced', 'unsynced']).describe('Whether the agent knows the time'),
    mode: z.enum(MODES),
    backlog: z
      .object({
        ...backlogFields,
        etaSeconds: z
          .number()
          .min(0)
          .nullable()
          .describe('Until it is gone, at the present rate; null when it does not shrink')
      })
      .describe('Of all lanes together'),
    lanes: z
      .record(
        z.string(),
        z.object({
          state: z.string(),
          ...backlogFields,
          lastError: z
            .object({ code: z.string(), topic: z.string().optional() })
            .optional()
            .describe('Why it waits or is parked')
        })
      )
      .describe('By name'),
    drops: z
      .record(z.string(), total())
      .describe('Readings that will never reach Kafka, since `startedAt`, by stage and reason'),
    deadLetters: z.record(z.string(), total()).describe('Since `startedAt`, by reason'),
    version: z.string().describe('Of the software'),
    configHash: z.string().describe('Of the configuration in effect; the same text, the same hash')
  })
  .meta({
    title: 'Fieldline agent status, version 1',
    description:
      'Value of the Kafka topic fieldline.status, key agentId. Fields may be added within version 1: ignore what you do not know.'
  })

export type AgentWord = z.output<typeof agentWordSchema>

/** More is no word of an agent. */
const WORD_BYTES_MAX = 64 << 10

/** @returns undefined when the bytes are no word of this version. Fields it does not know are left out. */
export function decodeAgentWord(bytes: Uint8Array): AgentWord | undefined {
  if (bytes.length > WORD_BYTES_MAX) return undefined
  try {
    return agentWordSchema.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data
  } catch {
    return undefined
  }
}
