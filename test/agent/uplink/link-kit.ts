import { Lane } from '../../../agent/uplink/lane.ts'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import type { Cursor, LogBatch, LogReader, ReadOptions } from '../../../core/log/reader.ts'
import { systemClock } from '../../../core/runtime/clock.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { createTopic, testClient, uniqueTopic } from '../../kit/kafka.ts'
import { startKafkaNodes } from '../../kit/kafka-nodes.ts'
import { type LinkProxy, startLinkProxy } from '../../kit/link-proxy.ts'
import { type DeliveryUnderTest, deliveryOf, EPOCH, type Mode } from './delivery-kit.ts'

/** A broker that clients reach only over a link. */
export interface FarKafka {
  link: LinkProxy
  brokers: string[]
  newTopic(partitions?: number): Promise<string>
  remove(): Promise<void>
}

export async function startFarKafka(): Promise<FarKafka> {
  let port = 0
  const link = await startLinkProxy(() => ({ port }))
  const nodes = await startKafkaNodes({ advertise: () => link.address })
  port = nodes.nodes[0].port
  // A client of its own each time: an outage may have left an older one's connection dead.
  const newTopic = async (topic: string, numPartitions = 1): Promise<string> => {
    const admin = testClient(nodes.brokers, 'test-admin').admin()
    await admin.connect()
    await createTopic(admin, topic, { numPartitions })
    await admin.disconnect()
    return topic
  }
  await newTopic('fieldline.cursors')
  return {
    link,
    // The link too, as clients learn the advertised address: for readers it is opened wide first.
    brokers: nodes.brokers,
    newTopic: (partitions = 6) => newTopic(uniqueTopic('far'), partitions),
    async remove() {
      await nodes.remove()
      await link.close()
    }
  }
}

/** A log of `end` equal records; an empty one waits. */
class EndlessReader implements LogReader {
  readonly name = 'uplink'
  position: Cursor = { epoch: EPOCH, offset: 0 }
  committed = 0
  end: number
  readonly #payload: Buffer
  #wake: () => void = () => {}
  #closed = false

  constructor(end: number, payloadBytes: number) {
    this.end = end
    this.#payload = Buffer.alloc(payloadBytes, 'x')
  }

  async read({ bytesMax, recordsMax = 1, signal }: ReadOptions): Promise<LogBatch | undefined> {
    while (this.position.offset >= this.end) {
      if (signal?.aborted || this.#closed) return undefined
      await new Promise<void>(resolve => {
        const wake = () => {
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        this.#wake = wake
        signal?.addEventListener('abort', wake)
      })
    }
    const first = this.position.offset
    const fitting = Math.max(1, Math.min(recordsMax, Math.floor(bytesMax / this.#payload.length)))
    const end = Math.min(this.end, first + fitting)
    this.position = { epoch: EPOCH, offset: end }
    const records = Array.from({ length: end - first }, (_, n) => ({
      ...{ epoch: EPOCH, offset: first + n },
      payload: this.#payload
    }))
    return { records, end: this.position }
  }

  append(count: number): void {
    this.end += count
    this.#wake()
  }

  commit({ offset }: Cursor): void {
    this.committed = offset
  }

  async seek(cursor: Cursor): Promise<boolean> {
    this.position = cursor
    return true
  }

  close(): void {
    this.#closed = true
    this.#wake()
  }
}

export interface LaneUnderTest extends DeliveryUnderTest {
  lane: Lane
  reader: EndlessReader
}

/** A lane with `backlog` records of 200 B, and headers of as much. */
export function laneOver(
  far: FarKafka,
  mode: Mode,
  topic: string,
  backlog: number,
  drain?: ConstructorParameters<typeof Lane>[0]['drain']
): LaneUnderTest {
  let lane: Lane | undefined
  const under = deliveryOf(() => testClient([far.link.address]), mode, {
    transactionalId: topic,
    onState: state => {
      if (lane) lane.state = state
    }
  })
  const reader = new EndlessReader(backlog, 200)
  lane = new Lane({
    name: 'telemetry',
    reader,
    delivery: under.delivery,
    onBeyondEnd: () => {},
    render: ({ offset, payload }) => [renderedOf(topic, offset, Buffer.from(payload))],
    lingerMs: 5,
    ...(drain ? { drain } : {}),
    clock: systemClock,
    logger: silentLogger
  })
  return { ...under, lane, reader }
}

function renderedOf(topic: string, offset: number, value: Buffer): OutgoingRecord {
  const now = Date.now()
  return {
    topic,
    key: `plant7/device-${offset % 100}`,
    value,
    timestampMs: now,
    headers: {
      'fl-id': `gateway-7-0a1b2c3d/1-9f2c03d1a7b4e655/${offset}`,
      'fl-topic': `telemetry/plant7/device-${offset % 100}/temperature`,
      'fl-received': String(now),
      'fl-observed': String(now)
    }
  }
}
