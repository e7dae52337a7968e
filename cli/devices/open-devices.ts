import type { DevicesLook, DevicesRequest } from '../../agent/devices/device-registry.ts'
import { DEVICE_LAG_RECORDS, DeviceWatch } from '../../agent/devices/device-watch.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { EdgeDetection } from '../edge/edge-detection.ts'
import { type DevicePlanOptions, devicePlanOf } from './device-plan.ts'

/** The devices of an agent, wherever their registry is. */
export interface Devices {
  /** undefined while a thread is being started again, or too busy to answer. */
  look(request: DevicesRequest): Promise<DevicesLook | undefined>
  useRoutes(routes: readonly RouteConfig[]): void
  stop(): Promise<void>
}

export interface DevicesOptions extends DevicePlanOptions {
  /** What it decodes need not be decoded again; it keeps the registry then. */
  detection: EdgeDetection | undefined
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
