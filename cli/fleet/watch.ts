import type { Paint } from '../terminal/text.ts'
import { type WatchOptions, watch } from '../terminal/watch.ts'
import { fleetText } from './fleet-text.ts'
import { fleetOf } from './fleet-view.ts'
import type { FleetReader } from './kafka-fleet.ts'

export interface FleetWatchOptions extends Pick<WatchOptions, 'input' | 'output' | 'drawMs'> {
  /** Read once already. */
  fleet: Pick<FleetReader, 'table' | 'read'>
  topic: string
  awayAfterMs: number | undefined
  paint: Paint
}

/** Shows the fleet, the worst on top, until the person has seen enough. Kafka may go meanwhile. */
export function watchFleet(options: FleetWatchOptions): Promise<void> {
  const { fleet, topic, awayAfterMs, paint, ...screen } = options
  return watch({
    ...screen,
    paint,
    read: () => fleet.read(),
    lines: () => fleetText(fleet.table, fleetOf(fleet.table, Date.now(), awayAfterMs), topic, paint)
  })
}
