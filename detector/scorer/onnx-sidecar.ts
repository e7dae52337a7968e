import { createHash } from 'node:crypto'
import { z } from 'zod'
import { OperationalError } from '../../core/runtime/errors.ts'

/**
 * `model.json`, beside `model.onnx`: what the model cannot say of itself. The runtime gives no
 * access to a model's own metadata, so this file is the only place.
 */
const schema = z.strictObject({
  version: z.string().min(1),
  /** Of model.onnx, hex: a model and its description belong together. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Name of the model's input, a float tensor [rows, inputs]. */
  input: z.string().min(1),
  /** Metrics of one device, in the order of the input's columns; x = (value − mean) / std. */
  inputs: z
    .array(
      z.strictObject({ metric: z.string().min(1), mean: z.number(), std: z.number().positive() })
    )
    .min(1)
    .max(256),
  /** Name of the output to read; others are not computed. */
  output: z.string().min(1),
  /**
   * How a row's output becomes one number. `none`: it is one number already. `mse`, `max`: it is the
   * input rebuilt; the mean square or the largest difference to the input, in scaled units.
   */
  reduction: z.enum(['none', 'mse', 'max']),
  /** Which side of the threshold is bad. */
  direction: z.enum(['higher', 'lower']).default('higher'),
  threshold: z.number(),
  /** How far beyond the threshold is twice as bad; the threshold's magnitude unless it is 0. */
  spread: z.number().positive().optional()
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
