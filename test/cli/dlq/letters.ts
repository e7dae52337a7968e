import { toDeadLetter } from '../../../agent/routing/dead-letter.ts'
import { Router } from '../../../agent/routing/router.ts'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import { type FieldlineConfig, fieldlineSchema } from '../../../cli/config.ts'
import type { DeadLetter } from '../../../cli/dlq/letter.ts'
import { encodeStoredMessage, type StoredMessage } from '../../../core/contract/stored-message.ts'

export const NOW = 1_795_336_000_000
export const EPOCH = '1-9f2c03d1a7b4e655'
export const PUMPS = { name: 'pumps', match: 'p/{site}/{device}', topic: 'pumps' }

export function configOf(routes: object[], uplink: object = {}): FieldlineConfig {
  return fieldlineSchema.parse({ routes, uplink })
}

export function storedOf(
  topic: string,
  payload: string | Buffer,
  changes: Partial<StoredMessage> = {}
): Buffer {
  return encodeStoredMessage({
    ...{ topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false, packetId: 1 },
    ...{ clientId: 'client-1', upstream: false, receivedAt: NOW, monotonicMs: 0, bootId: 0n },
    ...{ clockUnsynced: false, ...changes }
  })
}

/** What an agent with these routes sends to Kafka for a message. */
export function rendered(
  routes: object[],
  offset: number,
  topic: string,
  payload: string | Buffer,
  changes: Partial<StoredMessage> = {}
): OutgoingRecord[] {
  const config = configOf(routes)
  const router = new Router({
    agentId: 'gateway-7',
    routes: config.routes,
    deadLetterTopic: config.uplink.deadLetterTopic,
    pastMsMax: config.clock.pastMaxMs,
    futureMsMax: config.clock.futureMaxMs,
    replayedAfterMs: config.uplink.replayedAfterMs
  })
  const stored = storedOf(topic, payload, changes)
  return router.route({ epoch: EPOCH, offset, payload: stored }, NOW)
}

/** The dead letter among them, or one that Kafka's refusal would make of the only record. */
export function letterOf(records: OutgoingRecord[], place = [2, 17]): DeadLetter {
  const failed = records.find(({ headers }) => 'fl-reason' in headers)
  const { key, value, headers, timestampMs } =
    failed ??
    toDeadLetter(records[0], 'fieldline.dead-letters', 'produce', 'too_large', 'too large')
  const [partition, brokerOffset] = place
  return { partition, brokerOffset, timestampMs, key, value, headers }
}
