import type { Agent } from '../../agent/agent.ts'
import type { DevicesLook, DevicesRequest } from '../../agent/devices/device-registry.ts'
import {
  DEVICE_LAG_RECORDS,
  DEVICE_READER,
  type DevicePlan,
  DeviceWatch
} from '../../agent/devices/device-watch.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { EdgeDetection } from '../edge/edge-detection.ts'

/** The devices of an agent, wherever their registry is. */
export interface Devices {
  /** undefined while a thread is being started again, or too busy to answer. */
  look(request: DevicesRequest): Promise<DevicesLook | undefined>
  useRoutes(routes: readonly RouteConfig[]): void
  stop(): Promise<void>
}

export interface DevicesOptions {
  agent: Agent
  /** What it decodes need not be decoded again; it keeps the registry then. */
  detection: EdgeDetection | undefined
  /** The agent's. */
  dataDirectory: string
  devicesMax: number
  logger: Logger
}

export async function openDevices(options: DevicesOptions): Promise<Devices> {
  const { detection, logger } = options
  if (detection) {
    return {
      look: request => detection.devices(request),
      // It takes them over itself, and saves when it stops.
      useRoutes: () => {},
      stop: async () => {}
    }
  }
  const watch = await DeviceWatch.open({ plan: devicePlanOf(options, DEVICE_LAG_RECORDS), logger })
  watch.follow()
  return {
    look: async request => watch.look(request),
    useRoutes: routes => watch.useRoutes(routes),
    stop: () => watch.stop()
  }
}

/** @param lagRecordsMax What the reader may hold back. */
export function devicePlanOf(
  {
    agent,
    dataDirectory,
    devicesMax
  }: Pick<DevicesOptions, 'agent' | 'dataDirectory' | 'devicesMax'>,
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
