import { z } from 'zod'
import { duration, text } from '../../core/runtime/config-fields.ts'

const patterns = (what: string) => z.array(text()).min(1).max(1000).describe(what)

const limitSchema = z
  .strictObject({
    metrics: patterns('Metrics it is for, `*` standing for any text'),
    devices: patterns('Devices it is for, `*` standing for any text; all when absent').optional(),
    min: z.number().optional().describe('Least value that can be, in the metric’s own unit'),
    max: z.number().optional().describe('Greatest value that can be'),
    rate_max: z
      .number()
      .positive()
      .optional()
      .describe('Fastest change that can be, in the metric’s unit per second')
  })
  .superRefine((limit, context) => {
    const { min, max, rate_max } = limit
    if (min === undefined && max === undefined && rate_max === undefined) {
      context.addIssue({ code: 'custom', message: 'needs a min, a max or a rate_max' })
    }
    if (min !== undefined && max !== undefined && min >= max) {
      const message = `must be below max (${max})`
      context.addIssue({ code: 'custom', path: ['min'], message })
    }
  })
  .transform(({ metrics, devices, min, max, rate_max }) => ({
    metrics,
    ...(devices === undefined ? {} : { devices }),
    min: min ?? Number.NEGATIVE_INFINITY,
    max: max ?? Number.POSITIVE_INFINITY,
    ratePerSecondMax: rate_max ?? Number.POSITIVE_INFINITY
  }))

export const qualitySchema = z
  .strictObject({
    stuck: z
      .boolean()
      .default(true)
      .describe('Raise an alert when a value stays the same for longer than it ever usually does'),
    series_silent: z
      .boolean()
      .default(true)
      .describe('Raise an alert when one series stops while its device goes on'),
    unusable: z
      .boolean()
      .default(true)
      .describe('Raise an alert when a series gives null, text or NaN where numbers were'),
    unit: z
      .boolean()
      .default(true)
      .describe('Raise an alert when values look like the usual ones in another unit'),
    clock: z
      .boolean()
      .default(true)
      .describe("Raise an alert when a device's clock is wrong for more than a minute"),
    learn: duration({ min: 60_000 })
      .prefault('1d')
      .describe('How long a series is only watched before `stuck` and `series_silent` speak up'),
    limits: z
      .array(limitSchema)
      .max(1000)
      .default([])
      .describe('What values can be; the first entry that fits a series counts'),
    counters: z
      .array(text())
      .max(1000)
      .default([])
      .describe('Metrics that only grow, `*` standing for any text: their rate is scored'),
    recognise_counters: z
      .boolean()
      .default(true)
      .describe('Take a series that has only grown for a day for a counter')
  })
  .transform(quality => ({
    stuck: quality.stuck,
    seriesSilent: quality.series_silent,
    unusable: quality.unusable,
    unit: quality.unit,
    clock: quality.clock,
    learnMs: quality.learn,
    limits: quality.limits,
    counters: quality.counters,
    recogniseCounters: quality.recognise_counters
  }))

export type QualityConfig = z.output<typeof qualitySchema>
export type Limit = QualityConfig['limits'][number]
