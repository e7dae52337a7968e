import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { Kafka, KafkaMessage } from '../../core/kafka/client.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { TelemetryDecoder } from '../../detector/source/telemetry-record.ts'
import { HistoryGrid } from '../../detector/train/history-grid.ts'
import { readSpan, recordsIn, withAdmin } from '../dlq/kafka-letters.ts'
import { isWanted, type Recorded, type Wanted } from './recorded-history.ts'

/**
 * All of a telemetry topic, up to its end when the reading began, as the agents wrote it. Joins a group of its own
 * for the time, and commits nothing.
 *
 * @param onRead Told of each record: how many were read, and how many there may be.
 *
 * @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED.
 */
export async function readTopic(
  kafka: Kafka,
  topic: string,
  routes: readonly RouteConfig[],
  wanted: Wanted,
  onRead: (read: number, total: number) => void = () => {}
): Promise<Recorded> {
  const partitions = await withAdmin(kafka, admin => admin.fetchTopicOffsets(topic)).catch(
    error => {
      if (!(error instanceof OperationalError) || error.code !== 'KAFKA_REFUSED') throw error
      const message = `The topic '${topic}' cannot be read: ${error.message} If it does not exist, correct --topic.`
      throw new OperationalError('KAFKA_REFUSED', message, { cause: error })
    }
  )
  const from = new Map(partitions.map(({ partition, low }) => [partition, Number(low)]))
  const end = new Map(partitions.map(({ partition, high }) => [partition, Number(high)]))
  const decoder = new TelemetryDecoder(routes)
  const grid = new HistoryGrid()
  const total = recordsIn(from, end)
  let read = 0
  let unusable = 0
  let firstUnusable: string | undefined
  await readSpan(kafka, topic, 'fieldline.train', from, end, (partition, message) => {
    onRead(++read, total)
    const decoded = decoder.decode({
      topic,
      key: message.key,
      value: message.value,
      timestampMs: Number(message.timestamp),
      header: name => headerOf(message, name)
    })
    const why = decoded.ok ? decoded.unrouted && 'no route explains it' : decoded.detail
    if (why) {
      unusable++
      firstUnusable ??= `${topic}/${partition}/${message.offset}: ${why}`
    }
    for (const reading of decoded.ok ? decoded.readings : []) {
      const kept = isWanted(wanted, reading)
      if (kept) grid.add(kept)
    }
    return true
  })
  return { ...grid.build(wanted.everyMs), unusable, ...(firstUnusable ? { firstUnusable } : {}) }
}

/** A header that is there more than once counts with its last value. */
function headerOf({ headers }: KafkaMessage, name: string): string | undefined {
  const value = headers?.[name]
  return (Array.isArray(value) ? value.at(-1) : value)?.toString()
}
