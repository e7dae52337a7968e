import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { loadModel } from '../../detector/scorer/onnx-models.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'

/** Opens every model as the detector would: files, sidecar, checksum, graph, one rehearsal. */
export async function checkModels(checked: CheckedConfig, findings: Findings): Promise<void> {
  const detector = checked.config?.detector
  if (!detector || !checked.isSound('detector')) return
  if (detector.models.length > 0 && detector.scorer !== 'onnx') {
    findings.add(
      'models',
      'note',
      `models are not used while detector.scorer is '${detector.scorer}'`,
      {
        where: checked.where(['detector', 'scorer'])
      }
    )
  }
  for (const [index, model] of detector.models.entries()) {
    const where = checked.where(['detector', 'models', index, 'path'])
    try {
      const scorer = await loadModel(model, silentLogger)
      await scorer.close()
      findings.add('models', 'ok', `model '${model.name}' loads and answers (${model.path})`)
    } catch (error) {
      // Its description was read before the runtime was asked for.
      const noRuntime = systemCode((error as Error).cause) === 'ERR_MODULE_NOT_FOUND'
      const what = noRuntime
        ? `model '${model.name}' has a valid description; its graph could not be tried`
        : `model '${model.name}' cannot be used`
      findings.add('models', noRuntime ? 'warning' : 'error', what, {
        where,
        why: messageOf(error),
        todo: noRuntime
          ? 'install the runtime; until then its devices are judged by the z-score'
          : 'copy both files of one training again; until then its devices are judged by the z-score'
      })
    }
  }
}
