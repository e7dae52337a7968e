import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../config.ts'
import { matchesAny } from '../pattern.ts'
import type { DeviceScorer } from './device-scorer.ts'
import { OnnxScorer } from './onnx-scorer.ts'
import { parseSidecar } from './onnx-sidecar.ts'

type ModelConfig = DetectorConfig['models'][number]

/**
 * Opens the configured models. One that cannot be used is left out with one error in the log: its
 * devices are scored by the z-score, and nothing stops.
 */
export async function loadModels(
  configs: readonly ModelConfig[],
  logger: Logger
): Promise<DeviceScorer[]> {
  const models: DeviceScorer[] = []
  for (const config of configs) {
    try {
      models.push(await loadModel(config, logger))
      logger.info({ event: 'detector.model_loaded', model: config.name }, 'Loaded a model.')
    } catch (error) {
      logger.error(
        { event: 'detector.model_unusable', model: config.name },
        `${messageOf(error)} Until then the z-score answers for its devices.`
      )
    }
  }
  return models
}

/** @throws {OperationalError} MODEL_UNUSABLE */
export async function loadModel(config: ModelConfig, logger: Logger): Promise<OnnxScorer> {
  const modelPath = await modelFile(config)
  const sidecarPath = join(
    dirname(modelPath),
    `${modelPath.replace(/^.*\//, '').replace(/\.onnx$/, '')}.json`
  )
  const model = await read(config, modelPath)
  const json = (await read(config, sidecarPath)).toString('utf8')
  return OnnxScorer.open({
    name: config.name,
    model,
    sidecar: parseSidecar(json, model, sidecarPath),
    covers: (site, device) => matchesAny(config.sites, site) && matchesAny(config.devices, device),
    logger
  })
}

/** A directory means the `model.onnx` in it. */
async function modelFile({ path }: ModelConfig): Promise<string> {
  const found = await stat(path).catch(() => undefined)
  return found?.isDirectory() ? join(path, 'model.onnx') : path
}

async function read(config: ModelConfig, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new OperationalError(
      'MODEL_UNUSABLE',
      `Model ${config.name} cannot be read: ${messageOf(error)}.`,
      { cause: error }
    )
  }
}
