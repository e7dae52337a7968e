import type { Agent } from '../../agent/agent.ts'
import { DEVICE_READER, type DevicePlan } from '../../agent/devices/device-watch.ts'

export interface DevicePlanOptions {
  agent: Agent
  /** The agent's. */
  dataDirectory: string
  devicesMax: number
}

/** @param lagRecordsMax What the reader may hold back. */
export function devicePlanOf(
  { agent, dataDirectory, devicesMax }: DevicePlanOptions,
  lagRecordsMax: number
): DevicePlan {
  const { telemetryLog, budget } = agent
  const { epoch, end: offset } = telemetryLog.status
  return {
    claim: telemetryLog.claim(DEVICE_READER, lagRecordsMax),
    end: { epoch, offset },
    router: agent.routerOptions,
    ...{ dataDirectory, devicesMax, fileBytesMax: budget.deviceFileBytesMax }
  }
}
