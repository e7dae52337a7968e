import { DEVICE_SORTS, type DevicesRequest } from '../../agent/devices/device-registry.ts'
import { type HttpAnswer, json } from '../../core/runtime/http.ts'
import { parseDuration } from '../../core/runtime/units.ts'
import type { Devices } from './open-devices.ts'

export const LIMIT_MAX = 100_000

/** `/devices?find=&sort=&limit=&silent_for=` */
export async function devicesPage(
  devices: Pick<Devices, 'look'>,
  query: URLSearchParams
): Promise<HttpAnswer> {
  const request = requestOf(query)
  if (typeof request === 'string') return json({ error: request }, 400)
  const look = await devices.look(request)
  return look ? json(look) : json({ error: 'the detector is busy or starting; ask again' }, 503)
}

/** The way back of `requestOf`. */
export function queryOf({ find, sort, limit, silentForMs }: DevicesRequest): string {
  const query = new URLSearchParams()
  if (find !== undefined) query.set('find', find)
  if (sort !== undefined) query.set('sort', sort)
  if (limit !== undefined) query.set('limit', String(limit))
  if (silentForMs !== undefined) query.set('silent_for', `${silentForMs}ms`)
  return query.toString()
}

/** @returns Why not, if not. */
function requestOf(query: URLSearchParams): DevicesRequest | string {
  const request: DevicesRequest = {}
  const find = query.get('find')
  if (find !== null) request.find = find
  const sort = query.get('sort')
  if (sort !== null) {
    const known = DEVICE_SORTS.find(name => name === sort)
    if (!known) return `sort is one of ${DEVICE_SORTS.join(', ')}`
    request.sort = known
  }
  const limit = query.get('limit')
  if (limit !== null) {
    if (!/^\d{1,6}$/.test(limit) || Number(limit) > LIMIT_MAX) return `limit is 0 to ${LIMIT_MAX}`
    request.limit = Number(limit)
  }
  const silentFor = query.get('silent_for')
  if (silentFor !== null) {
    try {
      request.silentForMs = parseDuration(silentFor)
    } catch {
      return 'silent_for is a duration like 10m'
    }
  }
  return request
}
