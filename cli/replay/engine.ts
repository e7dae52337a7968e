import type { AlertEvent } from '../../core/contract/alert-event.ts'
import { formatEventId } from '../../core/contract/event-id.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { DetectorCounters } from '../../detector/counters.ts'
import { Detector, type DetectorReading, type ScoredValue } from '../../detector/detector.ts'
import type { DeviceModel } from '../../detector/scorer/device-scorer.ts'
import type { HistoryReading } from '../../detector/source/history.ts'

const BATCH_READINGS = 512
/** Looked at before a time is believed. */
const AHEAD_READINGS = 32
const AGENT = 'replay'
const EPOCH = '1-0000000000000000'

export interface EngineOptions {
  config: DetectorConfig
  /** In place of the configured ones. */
  models?: readonly DeviceModel[]
  /** Each alert event, in order, with the time of receipt of the reading that caused it. */
  onEvent: (event: AlertEvent, receivedAt: number) => void | Promise<void>
  /** Each value, before it is learned. */
  onValue?: (seen: ScoredValue) => void
}

/**
 * History through the engine that runs at the edge.
 *
 * Readings that an agent stored keep their names and times of receipt, and give the very events they
 * gave there. Others are taken as if they had been received in their order, each when it was observed:
 * see `Arrivals`.
 */
export async function runEngine(
  readings: AsyncIterable<HistoryReading>,
  { config, onEvent, onValue }: EngineOptions
): Promise<DetectorCounters> {
  const detector = new Detector(config, {
    ...{ source: `/fieldline/${AGENT}`, logger: silentLogger },
    ...(onValue ? { watch: onValue } : {})
  })
  await detector.open()
  try {
    const arrivals = new Arrivals()
    let ahead: HistoryReading[] = []
    const process = async (end: number): Promise<void> => {
      const batch = ahead.slice(0, end).map((_, i) => arrivals.take(ahead, i))
      ahead = ahead.slice(end)
      for (const { reading, events } of await detector.process(batch)) {
        for (const event of events) await onEvent(event, reading.receivedAt)
      }
    }
    for await (const reading of readings) {
      ahead.push(reading)
      if (ahead.length === BATCH_READINGS + AHEAD_READINGS) await process(BATCH_READINGS)
    }
    await process(ahead.length)
    return detector.counters()
  } finally {
    await detector.close()
  }
}

/**
 * Names and times of receipt for readings that have none: received when observed, and never before
 * what came ahead of it.
 *
 * A device whose clock is fast would make all others late: a time is believed only if half of the next
 * readings are not before it.
 */
class Arrivals {
  #offset = 0
  #receivedAt = 0

  take(readings: readonly HistoryReading[], index: number): DetectorReading {
    const { at, site, device, values, unusable, record } = readings[index]
    const measured = { site, device, at, values, ...(unusable ? { unusable } : {}) }
    if (record) {
      const { agentId, eventId, ...known } = record
      const agent = agentId || AGENT
      const id = eventId || formatEventId(agent, known.epoch, known.offset)
      return { ...known, agentId: agent, eventId: id, ...measured }
    }
    const offset = this.#offset++
    if (offset === 0) this.#receivedAt = Math.min(...readings.map(reading => reading.at))
    if (at > this.#receivedAt && isBelieved(readings, index)) this.#receivedAt = at
    return {
      ...{ epoch: EPOCH, offset, agentId: AGENT, eventId: formatEventId(AGENT, EPOCH, offset) },
      ...{ ...measured, receivedAt: this.#receivedAt }
    }
  }
}

function isBelieved(readings: readonly HistoryReading[], index: number): boolean {
  const { at } = readings[index]
  const end = Math.min(readings.length, index + 1 + AHEAD_READINGS)
  let earlier = 0
  for (let i = index + 1; i < end; i++) if (readings[i].at < at) earlier++
  return 2 * earlier <= end - index - 1
}
