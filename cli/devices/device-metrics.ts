import type { DevicesLook } from '../../agent/devices/device-registry.ts'
import type { Metrics } from '../../core/runtime/metrics.ts'
import type { Devices } from './open-devices.ts'

/** How many devices there are; never which. */
export function registerDeviceMetrics(metrics: Metrics, devices: Pick<Devices, 'look'>): void {
  let seen: DevicesLook | undefined
  metrics.refresh(async () => {
    seen = (await devices.look({ limit: 0 })) ?? seen
  })
  metrics.gauge(
    'fieldline_devices_known',
    'Devices that `fieldline devices` lists.',
    () => seen?.known
  )
  metrics.counter(
    'fieldline_devices_forgotten_total',
    'Devices that made room for others: more than agent.devices_max were heard.',
    () => seen?.forgotten
  )
}
