import { crc32C } from './mend-crc.ts'
import type { EncodedRecord, RecordEncoder, RecordInput } from './mend-record.ts'

/** As far as it is used here. */
interface Encoder {
  buf: Buffer
  readonly buffer: Buffer
  size(): number
  writeString(value: string | null): Encoder
  writeInt16(value: number): Encoder
  writeInt32(value: number): Encoder
  writeEncoder(value: unknown): Encoder
  writeArray(values: unknown[]): Encoder
}

interface ProduceMessage {
  key?: RecordInput['key']
  value: RecordInput['value']
  headers?: RecordInput['headers']
  /** Epoch ms. */
  timestamp?: string | number | null
}

interface PartitionData {
  partition: number
  firstSequence?: number
  messages: readonly ProduceMessage[]
}

export interface ProduceInput {
  acks: number
  timeout: number
  transactionalId?: string | null
  /** A number in itself, as text, or as kafkajs' Long. */
  producerId?: unknown
  producerEpoch?: number
  compression?: number
  topicData: readonly { topic: string; partitions: readonly PartitionData[] }[]
}

export interface ProduceCall {
  apiKey: number
  apiVersion: number
  apiName: string
  expectResponse: () => boolean
  encode: () => Promise<Encoder>
}

interface BatchInput {
  compression: number
  records: EncodedRecord[]
  firstTimestamp: number
  maxTimestamp: number
  producerId: unknown
  producerEpoch: number
  firstSequence?: number
  transactional: boolean
  lastOffsetDelta: number
}

/** What is taken from kafkajs' own modules. */
export interface ProduceRequestParts {
  apiKey: number
  Encoder: new () => Encoder
  encodeRecord: RecordEncoder
  /** kafkajs' own, for batches that are compressed. */
  encodeBatch: (batch: BatchInput) => Promise<Encoder>
}

const MAGIC = 2
const TRANSACTIONAL = 16
/** Up to the first record. */
const BATCH_HEADER_BYTES = 61
/** Offset, length. */
const BEFORE_LENGTH_BYTES = 12
/** Where the checksum begins. */
const SUMMED_FROM = 21

/**
 * Replaces `protocol/requests/produce/v3/request`, on which the later versions build: it copies every
 * message to give it two more fields, sorts all times to find the first and the last, and copies a
 * batch five times while its buffer grows. The same bytes.
 *
 * Bytes: Kafka protocol guide, Produce v3 and record batch (magic 2).
 */
export function createProduceRequestWith(parts: ProduceRequestParts) {
  const { apiKey, Encoder } = parts
  return (input: ProduceInput): ProduceCall => ({
    ...{ apiKey, apiVersion: 3, apiName: 'Produce' },
    expectResponse: () => input.acks !== 0,
    encode: async () => {
      const topics: Encoder[] = []
      for (const { topic, partitions } of input.topicData) {
        const encoded: Encoder[] = []
        for (const data of partitions) encoded.push(await encodePartition(parts, input, data))
        topics.push(new Encoder().writeString(topic).writeArray(encoded))
      }
      return new Encoder()
        .writeString(input.transactionalId ?? null)
        .writeInt16(input.acks)
        .writeInt32(input.timeout)
        .writeArray(topics)
    }
  })
}

async function encodePartition(
  parts: ProduceRequestParts,
  { transactionalId, producerId = -1, producerEpoch = 0, compression = 0 }: ProduceInput,
  { partition, firstSequence, messages }: PartitionData
): Promise<Encoder> {
  const now = Date.now()
  let firstTimestamp = Number.POSITIVE_INFINITY
  let maxTimestamp = Number.NEGATIVE_INFINITY
  for (const { timestamp } of messages) {
    const at = timestamp == null ? now : Number(timestamp)
    firstTimestamp = Math.min(firstTimestamp, at)
    maxTimestamp = Math.max(maxTimestamp, at)
  }
  const records = messages.map(({ key, value, headers, timestamp }, offsetDelta) => {
    const timestampDelta = (timestamp == null ? now : Number(timestamp)) - firstTimestamp
    return parts.encodeRecord({ offsetDelta, timestampDelta, key, value, headers })
  })
  const batch: BatchInput = {
    ...{ compression, records, firstTimestamp, maxTimestamp },
    ...{ producerId, producerEpoch, firstSequence },
    transactional: Boolean(transactionalId),
    lastOffsetDelta: records.length - 1
  }
  const encoder = new parts.Encoder().writeInt32(partition)
  if (compression !== 0) {
    const encoded = await parts.encodeBatch(batch)
    return encoder.writeInt32(encoded.size()).writeEncoder(encoded)
  }
  const encoded = encodePlainBatch(batch)
  return encoder.writeInt32(encoded.length).writeEncoder({ buf: encoded, buffer: encoded })
}

function encodePlainBatch(batch: BatchInput): Buffer {
  let bytes = BATCH_HEADER_BYTES
  for (const { buffer } of batch.records) bytes += buffer.length
  const into = Buffer.allocUnsafe(bytes)
  into.writeBigInt64BE(0n, 0) // the first offset: the broker's to give
  into.writeInt32BE(bytes - BEFORE_LENGTH_BYTES, 8)
  into.writeInt32BE(0, 12) // leader epoch: the broker's too
  into.writeInt8(MAGIC, 16)
  into.writeInt16BE(batch.transactional ? TRANSACTIONAL : 0, SUMMED_FROM)
  into.writeInt32BE(batch.lastOffsetDelta, 23)
  into.writeBigInt64BE(BigInt(batch.firstTimestamp), 27)
  into.writeBigInt64BE(BigInt(batch.maxTimestamp), 35)
  into.writeBigInt64BE(BigInt(String(batch.producerId)), 43)
  into.writeInt16BE(batch.producerEpoch, 51)
  into.writeInt32BE(batch.firstSequence ?? 0, 53)
  into.writeInt32BE(batch.records.length, 57)
  let at = BATCH_HEADER_BYTES
  for (const { buffer } of batch.records) {
    into.set(buffer, at)
    at += buffer.length
  }
  into.writeUInt32BE(crc32C(into.subarray(SUMMED_FROM)), 17)
  return into
}
