import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { ModelConfig } from '../config.ts'
import { matchesAny } from '../pattern.ts'
import type { DeviceModel } from './device-scorer.ts'
import type { ImportRuntime } from './onnx-runtime.ts'
import { OnnxScorer } from './onnx-scorer.ts'
import { WatchedModel, type WatchedModelOptions } from './onnx-watch.ts'

/**
 * Opens the configured models, and watches their files. One that cannot be used is reported with one
 * error in the log: its devices are scored by the z-score, and nothing stops.
 */
export async function loadModels(
  configs: readonly ModelConfig[],
  logger: Logger,
  options: Pick<LoadOptions, 'onRun'> = {}
): Promise<DeviceModel[]> {
  return Promise.all(configs.map(config => watchModel(config, logger, options)))
}

export interface LoadOptions {
  importRuntime?: ImportRuntime
  /** See `OnnxSessionOptions`. */
  onRun?: (seconds: number) => void
  every?: WatchedModelOptions['every']
}

export function watchModel(
  config: ModelConfig,
  logger: Logger,
  { every, ...options }: LoadOptions = {}
): Promise<WatchedModel> {
  return WatchedModel.open({
    name: config.name,
    covers: coverageOf(config),
    files: async () => Object.values(await modelFiles(config)),
    load: () => loadModel(config, logger, options),
    logger,
    ...(every ? { every } : {})
  })
}

/** @throws {OperationalError} MODEL_UNUSABLE */
export async function loadModel(
  config: ModelConfig,
  logger: Logger,
  { importRuntime, onRun }: Omit<LoadOptions, 'every'> = {}
): Promise<OnnxScorer> {
  const files = await modelFiles(config)
  const model = await read(config, files.model)
  const json = (await read(config, files.sidecar)).toString('utf8')
  // Its schema's library is large: only where there is a model.
  const { parseSidecar } = await import('./onnx-sidecar.ts')
  return OnnxScorer.open({
    name: config.name,
    model,
    sidecar: parseSidecar(json, model, files.sidecar),
    covers: coverageOf(config),
    logger,
    ...(importRuntime ? { importRuntime } : {}),
    ...(onRun ? { onRun } : {})
  })
}

function coverageOf({ sites, devices }: ModelConfig) {
  return (site: string, device: string) => matchesAny(sites, site) && matchesAny(devices, device)
}

/** A directory means the `model.onnx` in it. */
async function modelFiles({ path }: ModelConfig): Promise<{ model: string; sidecar: string }> {
  const found = await stat(path).catch(() => undefined)
  const model = found?.isDirectory() ? join(path, 'model.onnx') : path
  return { model, sidecar: `${model.replace(/\.onnx$/, '')}.json` }
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
