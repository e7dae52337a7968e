import { z } from 'zod'
import { text } from '../runtime/config-fields.ts'
import type { FieldRule, Fields } from './reading.ts'

const FIELDS_MAX = 1000
const UNIT_CHARACTERS_MAX = 32

const ruleSchema = z.strictObject({
  name: text().describe('The leaf, as it would be named without `as`'),
  as: text().optional().describe('Name of the series in its place'),
  unit: z
    .string()
    .min(1)
    .max(UNIT_CHARACTERS_MAX)
    .optional()
    .describe('Unit of the value as it is here, scaled: told in alerts and readings'),
  scale: z
    .number()
    .refine(scale => scale !== 0, 'everything would be the same number')
    .optional()
    .describe('What the number sent is multiplied by, such as `0.1`'),
  offset: z.number().optional().describe('What is then added; nothing is rounded')
})

/** A name, or a name with what is to be made of it. */
export type FieldConfig = string | z.output<typeof ruleSchema>

export const fieldsSchema = z
  .array(z.union([text(), ruleSchema]))
  .min(1)
  .max(FIELDS_MAX)
  .superRefine((fields, context) => {
    const names = new Map<string, FieldConfig>()
    const results = new Map<string, FieldConfig>()
    for (const [index, field] of fields.entries()) {
      const { name, as = name } = ruleOf(field)
      const complain = (message: string): void =>
        context.addIssue({ code: 'custom', path: [index], message })
      const same = names.get(name)
      const other = results.get(as)
      // A name that is only said twice was never refused.
      if (same !== undefined && isRule(same, field)) complain(`'${name}' is listed twice`)
      else if (other !== undefined && isRule(other, field)) complain(`'${as}' would be two series`)
      names.set(name, field)
      results.set(as, field)
    }
  })

/** By the leaf's name; undefined for no choice: every numeric leaf, as it is. */
export function compileFields(fields: readonly FieldConfig[] | undefined): Fields | undefined {
  return fields && new Map(fields.map(field => [ruleOf(field).name, ruleOf(field)]))
}

function ruleOf(field: FieldConfig): FieldRule & { name: string } {
  return typeof field === 'string' ? { name: field } : field
}

function isRule(...fields: FieldConfig[]): boolean {
  return fields.some(field => typeof field !== 'string')
}
