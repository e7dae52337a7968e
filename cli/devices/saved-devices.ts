import { DEVICE_FILE, DeviceFile } from '../../agent/devices/device-file.ts'
import {
  DeviceRegistry,
  type DevicesLook,
  type DevicesRequest
} from '../../agent/devices/device-registry.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { OperationalError } from '../../core/runtime/errors.ts'

/**
 * What an agent's data directory says, whether it runs or not.
 *
 * @throws {OperationalError} INPUT_UNREADABLE
 */
export async function savedDevices(
  directory: string,
  request: DevicesRequest,
  now: number
): Promise<{ look: DevicesLook; savedAt: number }> {
  const found = await new DeviceFile(nodeDisk, directory).load()
  if (found.kind !== 'valid') {
    const why = found.kind === 'absent' ? 'there is none' : found.reason
    const message = `${directory}/${DEVICE_FILE} cannot be read: ${why}. Is it the data directory (agent.data) of an agent of this version?`
    throw new OperationalError('INPUT_UNREADABLE', message)
  }
  const { devices, savedAt } = found.state
  const registry = new DeviceRegistry(Math.max(1, devices.length))
  registry.restore(found.state)
  return { look: registry.look(request, now), savedAt }
}
