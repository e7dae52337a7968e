import { z } from 'zod'
import { ALERT_KINDS } from '../../core/contract/alert-event.ts'
import { parseInstant } from '../../core/contract/reading.ts'
import { name, refuseRepeated, text } from '../../core/runtime/config-fields.ts'
import { MUTE_STATES, type MuteRule } from './muting.ts'

/** In the order of `Date.getUTCDay`. */
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const
const WALL_TIME = /^([01]\d|2[0-3]):[0-5]\d$/

const patterns = () => z.array(text()).min(1).max(1000).optional()

function instant() {
  return text(value => {
    if (parseInstant(value) === undefined) {
      throw new SyntaxError('expected a time with its zone, such as 2026-12-24T18:00:00+01:00')
    }
  })
}

function wallTime(last: '23:59' | '24:00') {
  return text(value => {
    if (!WALL_TIME.test(value) && !(last === '24:00' && value === last)) {
      throw new SyntaxError(`expected a time from 00:00 to ${last}`)
    }
  })
}

const scheduleSchema = z.strictObject({
  days: z
    .array(z.enum(DAYS))
    .min(1)
    .max(7)
    .optional()
    .describe('Days on which the window begins; every day when absent'),
  from: wallTime('23:59').describe('When it begins, `22:00`'),
  to: wallTime('24:00').describe('When it ends; on the next day when not later than `from`'),
  zone: text(checkZone)
    .default('UTC')
    .describe('Time zone whose wall clock counts, `Europe/Berlin`')
})

const silenceSchema = z
  .strictObject({
    name: name().describe('What alerts that it ends call it'),
    state: z
      .enum(MUTE_STATES)
      .default('shelved')
      .describe('Who put the alerts aside: a person for a while, a rule, or maintenance'),
    learning: z
      .enum(['continued', 'paused'])
      .optional()
      .describe(
        'Whether readings within it teach what is usual; `paused` when absent and `out_of_service`'
      ),
    sites: patterns().describe('Sites it covers, `*` standing for any text; all when absent'),
    devices: patterns().describe('Devices it covers, likewise'),
    metrics: patterns().describe('Metrics it covers, likewise; `-` is the device as a whole'),
    kinds: z
      .array(z.enum(ALERT_KINDS))
      .min(1)
      .max(ALERT_KINDS.length)
      .optional()
      .describe('Kinds of alerts it covers; all when absent'),
    from: instant().optional().describe('From this moment on; always when absent'),
    to: instant().optional().describe('Up to this moment; a `shelved` one needs it or a schedule'),
    schedule: scheduleSchema.optional().describe('Only at these times of day and week')
  })
  .superRefine((silence, context) => {
    const complain = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message })
    const { state, from, to, schedule } = silence
    if (state === 'shelved' && to === undefined && !schedule) {
      complain('to', "a 'shelved' silence ends by itself: give `to` or a schedule")
    }
    if (
      from !== undefined &&
      to !== undefined &&
      Number(parseInstant(to)) <= Number(parseInstant(from))
    ) {
      complain('to', `must be later than from (${from})`)
    }
  })

/** Silences and maintenance windows, in event time. */
export const silencesSchema = z
  .array(silenceSchema)
  .max(1000)
  .superRefine((silences, context) => refuseRepeated(silences, 'name', context))
  .transform(silences => silences.map(muteRuleOf))

function muteRuleOf(silence: z.output<typeof silenceSchema>): MuteRule {
  const { from, to, schedule, learning, ...rule } = silence
  const pausing = rule.state === 'out_of_service' ? 'paused' : 'continued'
  return {
    ...rule,
    learning: learning ?? pausing,
    ...(from === undefined ? {} : { fromAt: parseInstant(from) }),
    ...(to === undefined ? {} : { toAt: parseInstant(to) }),
    ...(schedule
      ? {
          schedule: {
            days: (schedule.days ?? []).map(day => DAYS.indexOf(day)),
            fromMinute: minuteOf(schedule.from),
            toMinute: minuteOf(schedule.to),
            zone: schedule.zone
          }
        }
      : {})
  }
}

function minuteOf(wall: string): number {
  const [hours, minutes] = wall.split(':').map(Number)
  return hours * 60 + minutes
}

function checkZone(zone: string): void {
  try {
    new Intl.DateTimeFormat('en-US', { timeZone: zone })
  } catch {
    throw new SyntaxError(`there is no time zone '${zone}'; they are named like Europe/Berlin`)
  }
}
