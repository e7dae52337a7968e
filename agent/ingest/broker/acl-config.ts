import { z } from 'zod'
import { text } from '../../../core/runtime/config-fields.ts'

const patterns = () => z.array(text(checkPattern)).max(1000).default([])

const ruleSchema = z
  .strictObject({
    user: text(checkGlob)
      .optional()
      .describe("User names that it is for, `*` for any letters: 'pump-*'"),
    client: text(checkGlob).optional().describe('Client ids that it is for, `*` for any letters'),
    anonymous: z
      .boolean()
      .optional()
      .describe('`true`: for clients without a user name; `false`: for those with one'),
    publish: patterns().describe('Topic filters it may publish to'),
    subscribe: patterns().describe('Topic filters it may subscribe to, or to a part of')
  })
  .superRefine((rule, context) => {
    const complain = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (rule.anonymous === true && rule.user !== undefined) {
      complain('user', 'who is anonymous has no user name')
    }
    if (rule.publish.length === 0 && rule.subscribe.length === 0) {
      complain('publish', 'the rule allows nothing: give publish or subscribe')
    }
    const named = [...rule.publish, ...rule.subscribe].some(each => each.includes('{user}'))
    if (rule.anonymous === true && named) complain('anonymous', 'there is no {user} to fill in')
  })
  .transform(rule => ({
    user: rule.user,
    client: rule.client,
    anonymous: rule.anonymous,
    publish: rule.publish,
    subscribe: rule.subscribe
  }))

/** Rules that allow; what none of those that are for a client allows, is refused. */
export const aclSchema = z.array(ruleSchema).max(1000)

export type AclRule = z.output<typeof ruleSchema>

const PLACEHOLDERS = /\{[^}]*\}/g

/** Source: MQTT 3.1.1 §4.7.1; `{client}` and `{user}` beside it. */
function checkPattern(value: string): void {
  for (const [placeholder] of value.matchAll(PLACEHOLDERS)) {
    if (placeholder !== '{client}' && placeholder !== '{user}') {
      throw new SyntaxError(`'${placeholder}' is no placeholder: there are {client} and {user}`)
    }
  }
  const levels = value.split('/')
  const wrong = levels.some(
    (level, index) =>
      (level.includes('#') && (level !== '#' || index !== levels.length - 1)) ||
      (level.includes('+') && level !== '+')
  )
  if (wrong) {
    throw new SyntaxError(`'${value}' is no topic filter: '+' is a whole level, '#' the last one`)
  }
}

function checkGlob(value: string): void {
  if (/[+#]/.test(value)) throw new SyntaxError("names are matched by '*', not by '+' or '#'")
}
