import path from 'node:path'
import { readBootId } from '../../agent/identity.ts'
import { encodeStoredMessage } from '../../core/contract/stored-message.ts'
import { DurableLog } from '../../core/log/log.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { keyOf, Payload, topicOf } from './payload.ts'
import { PAYLOAD_BYTES } from './run-load.ts'

const DEVICES = 50
const GROUP = 2_000
/** How long ago the first of them came: longer than `uplink.replayed_after`. */
const AGE_MS = 600_000

/**
 * Fills an agent's data directory with undelivered readings, as an outage leaves them.
 *
 * @param count A multiple of 50.
 * @returns By Kafka key: the last sequence.
 */
export async function writeBacklog(data: string, count: number): Promise<Record<string, number>> {
  const log = await DurableLog.open({
    directory: path.join(data, 'telemetry'),
    logger: silentLogger,
    bytesMax: 1 << 30,
    overflow: 'block',
    sync: 'never'
  })
  // Holds the records back until the uplink has read them.
  await log.reader('uplink')
  const payload = new Payload(PAYLOAD_BYTES)
  const bootId = readBootId()
  const from = Date.now() - AGE_MS
  for (let first = 0; first < count; first += GROUP) {
    const group = Array.from({ length: Math.min(GROUP, count - first) }, (_, n) => {
      const index = first + n
      const device = `backlog-${index % DEVICES}`
      payload.write(
        payload.bytes,
        0,
        Math.floor(index / DEVICES) + 1,
        Math.floor(from + index / 10)
      )
      return encodeStoredMessage({
        topic: topicOf(device),
        payload: payload.bytes,
        qos: 1,
        retain: false,
        dup: false,
        packetId: (index % 65_535) + 1,
        clientId: device,
        upstream: false,
        receivedAt: Math.floor(from + index / 10),
        monotonicMs: Math.floor(index / 10),
        bootId,
        clockUnsynced: false
      })
    })
    await log.append(group)
  }
  await log.close()
  return Object.fromEntries(
    Array.from({ length: DEVICES }, (_, n) => [keyOf(`backlog-${n}`), count / DEVICES])
  )
}
