import type { RouteConfig } from '../../core/contract/route-config.ts'
import { DEFAULT_ROUTE, routesSchema } from '../../core/contract/route-config.ts'
import { EPOCH } from '../detector/kit.ts'

/** A record as an agent's default route writes it. */
export function telemetryRecord(
  device: string,
  offset: number,
  at: number,
  metrics: readonly string[],
  row: Float64Array
) {
  return {
    key: `plant7/${device}`,
    value: JSON.stringify(Object.fromEntries(metrics.map((metric, i) => [metric, row[i]]))),
    timestamp: String(at),
    headers: {
      'fl-id': `gateway-7/${EPOCH}/${offset}`,
      'fl-topic': `telemetry/plant7/${device}`,
      'fl-received': String(at + 5)
    }
  }
}

export function defaultRoutes(topic: string): RouteConfig[] {
  return routesSchema.parse([{ ...DEFAULT_ROUTE, topic }])
}
