import path from 'node:path'
import { DurableLog } from '../core/log/log.ts'
import type { OperationalError } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { AgentConfig } from './config.ts'
import { DiskBudget } from './disk-budget.ts'
import type { LaneName } from './uplink/lane-plan.ts'

export interface OpenLogsOptions {
  config: AgentConfig
  /** The directory finds itself on another machine. */
  forceNewEpoch: boolean
  logger: Logger
  onFailure: (error: OperationalError) => void
}

export interface OpenedLogs {
  telemetryLog: DurableLog
  alertLog: DurableLog
  budget: DiskBudget
}

/**
 * Recovers both logs, within one budget of bytes.
 *
 * @param opened Gets each as soon as it is open: should a later one fail, they are to be closed.
 */
export async function openLogs(
  { config, forceNewEpoch, logger, onFailure }: OpenLogsOptions,
  opened: DurableLog[]
): Promise<OpenedLogs> {
  const budget = new DiskBudget({ ...config.log, data: config.agent.data })
  const open = async (lane: LaneName, bytesMax: number, sharedBytes = () => 0) => {
    const log = await DurableLog.open({
      directory: path.join(config.agent.data, lane),
      logger: logger.child({ lane }),
      bytesMax,
      sharedBytes,
      overflow: config.log.overflow,
      sync: config.log.sync,
      syncWindowMs: config.log.syncWindowMs,
      syncIntervalMs: config.log.syncIntervalMs,
      ageMsMax: config.log.ageMaxMs,
      checkpointIntervalMs: config.uplink.checkpointIntervalMs,
      forceNewEpoch,
      onFailure
    })
    opened.push(log)
    return log
  }
  await budget.look()
  const alertLog = await open('alerts', budget.alertBytesMax)
  budget.alertLog = alertLog
  const telemetryLog = await open('telemetry', config.log.bytesMax, () => budget.sharedBytes)
  return { telemetryLog, alertLog, budget }
}
