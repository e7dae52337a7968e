import { createHash } from 'node:crypto'
import { z } from 'zod'
import { OperationalError } from '../../core/runtime/errors.ts'

/** Of one device: 256 KiB of scaled numbers. */
const WINDOW_VALUES_MAX = 65_536

const windowSchema = z.strictObject({
  /** Rows of the window, the newest included. */
  rows: z.int().min(1).max(4096),
  /** `metrics_first`: [batch, metrics, rows]; `rows_first`: [batch, rows, metrics]. */
  layout: z.enum(['metrics_first', 'rows_first']),
  /**
   * Grid of event time that rows are taken on. A row is the last value of each metric in its cell,
   * made when the first reading of a later cell comes. Without it every reading that touches a
   * metric of the model makes a row.
   */
  every_ms: z.int().min(1).max(86_400_000).optional()
})

const fillSchema = z.strictObject({
  /**
   * What a row does for a metric that is missing. `last`: the last value stands; without one no row.
   * `mean`: the same, but where there is none, the metric's mean of training. `none`: only values of
   * the row's own cell (or instant) count; a row with a metric missing is not scored.
   */
  method: z.enum(['last', 'mean', 'none']),
  /** A value older than this at the row's time is missing; a longer gap restarts the window. */
  max_ms: z.number().min(0).optional()
})

/**
 * `model.json`, beside `model.onnx`: what the model cannot say of itself. The runtime gives no
 * access to a model's own metadata, so this file is the only place.
 */
const schema = z
  .strictObject({
    version: z.string().min(1),
    /** Of model.onnx, hex: a model and its description belong together. */
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    /** Name of the model's input, a float tensor [batch, metrics], or as `window.layout` says. */
    input: z.string().min(1),
    /**
     * Metrics of one device, in the input's order; x = (value − mean) / std. A model that scales for
     * itself leaves both away.
     */
    inputs: z
      .array(
        z.strictObject({
          metric: z.string().min(1),
          mean: z.number().default(0),
          std: z.number().positive().default(1)
        })
      )
      .min(1)
      .max(256),
    /** Absent: the model sees the last values only. */
    window: windowSchema.optional(),
    /** Absent: `last`, of any age. */
    fill: fillSchema.optional(),
    /** Name of the output to read; others are not computed. Any tensor of numbers. */
    output: z.string().min(1),
    /** Name of a second output [batch, metrics]: how much of the surprise is each metric's, ≥ 0. */
    contributions: z.string().min(1).optional(),
    /**
     * How a row's output becomes one number. `none`: it is one number already. `mse`, `mae`, `max`:
     * it is the input rebuilt, or the newest row forecast; mean square, mean or largest difference
     * to the input, in scaled units. `last`: the newest of a sequence of numbers; where the output
     * has the input's own shape, the mean square difference of its newest row.
     */
    reduction: z.enum(['none', 'mse', 'mae', 'max', 'last']),
    /** Which side of the threshold is bad. */
    direction: z.enum(['higher', 'lower']).default('higher'),
    threshold: z.number(),
    /** How far beyond the threshold is twice as bad; the threshold's magnitude unless it is 0. */
    spread: z.number().positive().optional()
  })
  .superRefine(({ inputs, window }, context) => {
    if (new Set(inputs.map(i => i.metric)).size < inputs.length) {
      context.addIssue({ code: 'custom', path: ['inputs'], message: 'a metric is named twice' })
    }
    if (inputs.length * (window?.rows ?? 1) <= WINDOW_VALUES_MAX) return
    const message = `rows × metrics is above ${WINDOW_VALUES_MAX}`
    context.addIssue({ code: 'custom', path: ['window', 'rows'], message })
  })

export type OnnxSidecar = z.infer<typeof schema>

/**
 * @param model Bytes of model.onnx.
 * @param path Of model.json, for messages.
 * @throws {OperationalError} MODEL_UNUSABLE
 */
export function parseSidecar(json: string, model: Uint8Array, path: string): OnnxSidecar {
  let input: unknown
  try {
    input = JSON.parse(json)
  } catch (error) {
    throw new OperationalError('MODEL_UNUSABLE', `${path} is no JSON: ${(error as Error).message}.`)
  }
  const parsed = schema.safeParse(input)
  if (!parsed.success) {
    const mistakes = parsed.error.issues.map(i => `${i.path.join('.') || 'the file'}: ${i.message}`)
    throw new OperationalError('MODEL_UNUSABLE', `${path} has mistakes: ${mistakes.join('; ')}.`)
  }
  const actual = createHash('sha256').update(model).digest('hex')
  if (actual !== parsed.data.sha256) {
    throw new OperationalError(
      'MODEL_UNUSABLE',
      `${path} describes another model: it names sha256 ${parsed.data.sha256.slice(0, 12)}…, ` +
        `the .onnx file beside it has ${actual.slice(0, 12)}…. Copy both files of one training.`
    )
  }
  return parsed.data
}
