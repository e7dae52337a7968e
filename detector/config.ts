import { z } from 'zod'
import { TOPICS } from '../core/contract/topics.ts'
import {
  bytes,
  count,
  duration,
  kafkaTopic,
  name,
  refuseRepeated,
  text
} from '../core/runtime/config-fields.ts'
import { silencesSchema } from './alert/muting-config.ts'
import { SEVERITY_BANDS } from './alert/severity.ts'
import { qualitySchema } from './quality/quality-config.ts'
import { SENSITIVITIES } from './scorer/scorer.ts'

const probability = () => z.number().min(0).max(1)

const onDelaySchema = z
  .strictObject({
    readings: count(1, 1000).default(1).describe('Readings above `raise` that it takes'),
    of: count(1, 1000).default(1).describe('Among how many latest readings')
  })
  .superRefine((delay, context) => {
    if (delay.readings <= delay.of) return
    const message = `${delay.readings} of ${delay.of} readings is impossible`
    context.addIssue({ code: 'custom', path: ['readings'], message })
  })

const silentSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Raise an alert when a device falls silent'),
    factor: z
      .number()
      .min(1.5)
      .max(1000)
      .default(5)
      .describe('Silence after this many of the usual intervals'),
    min: duration({ min: 1000 }).prefault('10s').describe('Never sooner than this')
  })
  .transform(silent => ({ enabled: silent.enabled, factor: silent.factor, minMs: silent.min }))

const severitySchema = z
  .strictObject({
    warning: probability()
      .default(SEVERITY_BANDS.warning)
      .describe('Score from which an alert is a `warning`; below it, `info`'),
    critical: probability()
      .default(SEVERITY_BANDS.critical)
      .describe('Score from which it is `critical`')
  })
  .superRefine((bands, context) => {
    if (bands.warning <= bands.critical) return
    const message = `must be at least severity.warning (${bands.warning})`
    context.addIssue({ code: 'custom', path: ['critical'], message })
  })

const modelSchema = z.strictObject({
  name: name().describe('Name in alerts and metrics'),
  path: text().describe('ONNX file; its sidecar is the same path with `.json`'),
  sites: z.array(text()).min(1).max(1000).optional().describe('Sites it scores; all when absent'),
  devices: z
    .array(text())
    .min(1)
    .max(1000)
    .optional()
    .describe('Devices it scores, `*` standing for any text; all when absent')
})

export const detectorSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe("Run in the agent's process"),
    scope: z
      .enum(['edge', 'central'])
      .default('edge')
      .describe(
        'Who owns the series: the agent that stores them, or a group that reads Kafka. The same for an ' +
          'agent and the group that reads it, save for `edge_agents`'
      ),
    group: name().default('fieldline-detector').describe('Consumer group of a central detector'),
    topics: z
      .array(kafkaTopic())
      .min(1)
      .max(100)
      .default([TOPICS.telemetry])
      .describe('Kafka topics a central detector reads; of the topics of one message only one'),
    edge_agents: z
      .array(text())
      .max(1000)
      .default([])
      .describe(
        'Agents with `scope: edge`, `*` standing for any text: a central detector leaves theirs to them'
      ),
    scorer: z
      .enum(['auto', 'zscore', 'onnx'])
      .default('auto')
      .describe('What judges a reading; with `onnx`, `zscore` where no model answers'),
    sensitivity: z
      .enum(SENSITIVITIES)
      .default('normal')
      .describe('How soon `auto` and `zscore` speak up; `high` finds more, and errs more often'),
    warm_up_readings: count(2, 1_000_000)
      .default(30)
      .describe('Readings a series is only learned from'),
    raise: probability()
      .default(0.8)
      .describe('Score from which a reading counts towards an alert'),
    clear: probability()
      .default(0.5)
      .describe('Score below which it counts towards the end of one'),
    on_delay: onDelaySchema.prefault({}).describe('How much it takes to raise an alert'),
    off_delay_readings: count(1, 100_000)
      .default(5)
      .describe('Readings in a row below `clear` that end an alert'),
    refractory_readings: count(0, 100_000)
      .default(10)
      .describe('Readings after an alert before the same series may raise the next'),
    habituation: z
      .number()
      .min(0)
      .max(100)
      .default(1)
      .describe(
        'By how much an alert raises the line of its series for the next, fading over 150 readings; ' +
          '1 doubles it'
      ),
    update_interval: duration({ min: 1000 })
      .prefault('10s')
      .describe('Shortest time between two updates of an open alert'),
    severity: severitySchema.prefault({}).describe('How bad a score is'),
    group_by: z
      .enum(['device', 'series'])
      .default('device')
      .describe(
        'What one alert is about: all series of a device that are anomalous at once, or each alone'
      ),
    silences: silencesSchema
      .default([])
      .describe('Alerts not to be told: shelved ones, and maintenance windows, in event time'),
    series_max: count(1, 10_000_000)
      .default(100_000)
      .describe('Series kept in memory; the one unheard for longest makes room'),
    series_ttl: duration({ min: 60_000 })
      .prefault('30d')
      .describe('A series unheard for so long is forgotten'),
    lag_max: count(1, 1_000_000_000)
      .default(100_000)
      .describe(
        'Records the edge detector may lag behind before it is moved on, marked with a gap'
      ),
    snapshot_interval: duration({ min: 1000, max: 3_600_000 })
      .prefault('5s')
      .describe('Time between two snapshots of the learned state'),
    silent: silentSchema.prefault({}).describe('Alerts about devices and series that stop'),
    quality: qualitySchema.prefault({}).describe('What is asked of the data itself'),
    models: z
      .array(modelSchema)
      .max(100)
      .superRefine((models, context) => refuseRepeated(models, 'name', context))
      .default([])
      .describe('ONNX models'),
    window_memory: bytes({ min: 1024, max: 2 ** 40 })
      .prefault('16MiB')
      .describe(
        "Memory for the models' windows, all devices; the one unheard for longest makes room"
      )
  })
  .superRefine((detector, context) => {
    if (detector.clear >= detector.raise) {
      const message = `must be below detector.raise (${detector.raise})`
      context.addIssue({ code: 'custom', path: ['clear'], message })
    }
    if (detector.scorer === 'onnx' && detector.models.length === 0) {
      const message = "'onnx' needs at least one entry in detector.models"
      context.addIssue({ code: 'custom', path: ['scorer'], message })
    }
  })
  .transform(detector => ({
    enabled: detector.enabled,
    scope: detector.scope,
    group: detector.group,
    topics: detector.topics,
    edgeAgents: detector.edge_agents,
    scorer: detector.scorer,
    sensitivity: detector.sensitivity,
    warmUpReadings: detector.warm_up_readings,
    raise: detector.raise,
    clear: detector.clear,
    onDelay: detector.on_delay,
    offDelayReadings: detector.off_delay_readings,
    refractoryReadings: detector.refractory_readings,
    habituation: detector.habituation,
    updateIntervalMs: detector.update_interval,
    severity: detector.severity,
    groupBy: detector.group_by,
    silences: detector.silences,
    seriesMax: detector.series_max,
    seriesTtlMs: detector.series_ttl,
    lagRecordsMax: detector.lag_max,
    snapshotIntervalMs: detector.snapshot_interval,
    silent: detector.silent,
    quality: detector.quality,
    models: detector.models,
    windowBytesMax: detector.window_memory
  }))

export type DetectorConfig = z.output<typeof detectorSchema>
export type ModelConfig = z.output<typeof modelSchema>
