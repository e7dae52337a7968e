import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { afterEach, beforeAll, expect, test, vi } from 'vitest'
import {
  type GroupMessagesArguments,
  groupMessagesPerPartition,
  type OutgoingMessage
} from '../../../core/kafka/mend-group.ts'
import {
  encodeRecordWith,
  type RecordEncoder,
  type RecordInput
} from '../../../core/kafka/mend-record.ts'
import { mendKafkajs } from '../../../core/kafka/mends.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const require = createRequire(import.meta.url)
const seed = Number(process.env.SEED ?? 20_260_101)

/** The modules as kafkajs ships them, taken before anything is mended. */
const originalRecord: RecordEncoder = require('kafkajs/src/protocol/recordBatch/record/v0/index.js')
const originalGroup = require('kafkajs/src/producer/groupMessagesPerPartition.js') as (
  input: GroupMessagesArguments
) => Record<string, OutgoingMessage[]>
const RequestQueue = require('kafkajs/src/network/requestQueue/index.js')
const originalSchedule = RequestQueue.prototype.scheduleCheckPendingRequests

beforeAll(() => mendKafkajs())
afterEach(() => {
  vi.useRealTimers()
})

test('the modules that are mended, and those the mends rely on, are the ones that were read', () => {
  const read = Object.fromEntries(
    Object.keys(READ_MODULES).map(path => {
      const source = readFileSync(require.resolve(`kafkajs/src/${path}`))
      return [path, createHash('sha256').update(source).digest('hex').slice(0, 16)]
    })
  )
  expect(read).toEqual(READ_MODULES)
})

test('kafkajs as a whole holds the mended modules', () => {
  require('kafkajs')
  const produce = require('kafkajs/src/protocol/requests/produce/v3/request.js')
  expect(produce).toBeTypeOf('function')
  for (const path of [
    'producer/groupMessagesPerPartition.js',
    'producer/partitioners/default/murmur2.js',
    'protocol/recordBatch/crc32C/index.js',
    'protocol/recordBatch/record/v0/index.js',
    'protocol/requests/produce/v3/request.js',
    'producer/sendMessages.js',
    'producer/index.js'
  ]) {
    const source = readFileSync(require.resolve(`kafkajs/src/${path}`), 'utf8')
    expect(source).not.toContain(String(require(`kafkajs/src/${path}`)))
  }
  expect(RequestQueue.prototype.scheduleCheckPendingRequests).not.toBe(originalSchedule)
  mendKafkajs() // a second time changes nothing
})

function idleQueue() {
  const logger = { debug() {}, warn() {} }
  return new RequestQueue({ maxInFlightRequests: 1, requestTimeout: 1000, clientId: 'c', logger })
}

function request(correlationId: number, sent: number[]) {
  return {
    entry: { correlationId, resolve() {}, reject() {} },
    expectResponse: true,
    sendRequest: () => sent.push(correlationId)
  }
}

test('a request queue with nothing pending sets no timer, where the original does', () => {
  vi.useFakeTimers()
  const queue = idleQueue()
  queue.push(request(1, []))
  queue.fulfillRequest({ correlationId: 1, payload: {}, size: 0 })
  expect(vi.getTimerCount()).toBe(0)
  originalSchedule.call(queue)
  expect(vi.getTimerCount()).toBe(1)
})

test('a request queue sends what is pending when the throttling ends', () => {
  vi.useFakeTimers()
  const queue = idleQueue()
  const sent: number[] = []
  queue.maybeThrottle(500)
  queue.push(request(1, sent))
  vi.advanceTimersByTime(499)
  expect(sent).toEqual([])
  vi.advanceTimersByTime(20)
  expect(sent).toEqual([1])
  queue.push(request(2, sent))
  queue.fulfillRequest({ correlationId: 1, payload: {}, size: 0 })
  expect(sent).toEqual([1, 2])
})

test(`messages are grouped as by the original, in their order (seed ${seed})`, () => {
  const prng = new Prng(seed)
  for (let round = 0; round < 50; round++) {
    const partitionMetadata = Array.from({ length: prng.int(5) }, (_, i) => ({
      partitionId: i,
      leader: 1
    }))
    const messages = Array.from({ length: prng.int(100) }, (_, i) => ({ value: String(i) }))
    const chosen = messages.map(() => prng.int(Math.max(1, partitionMetadata.length)))
    const input = {
      topic: 't',
      partitionMetadata,
      messages,
      partitioner: ({ message }: { message: OutgoingMessage }) => chosen[Number(message.value)]
    }
    const mended = groupMessagesPerPartition(input)
    expect(mended).toEqual(originalGroup(input))
    expect(Object.keys(mended)).toEqual(Object.keys(originalGroup(input)))
  }
})

test('grouping 200,000 messages of one partition is quick', () => {
  const messages = Array.from({ length: 200_000 }, () => ({ value: 'v' }))
  const begin = performance.now()
  const groups = groupMessagesPerPartition({
    topic: 't',
    partitionMetadata: [{ partitionId: 0, leader: 1 }],
    messages,
    partitioner: () => 0
  })
  expect(groups[0]).toHaveLength(200_000)
  // The original takes minutes.
  expect(performance.now() - begin).toBeLessThan(2000)
})

function randomRecord(prng: Prng): RecordInput {
  const length = (): number => prng.pick([0, 1, 63, 64, 65, 300, 8191, 8192, 20_000])
  const bytes = (): Buffer => Buffer.from(Array.from({ length: length() }, () => prng.int(256)))
  const text = (): string =>
    Array.from({ length: Math.min(length(), 300) }, () =>
      String.fromCodePoint(prng.pick([0x41, 0xe9, 0x20ac, 0xd800, 0x1f600]))
    ).join('')
  const value = (): Buffer | string => (prng.chance(0.5) ? bytes() : text())
  const headers: NonNullable<RecordInput['headers']> = {}
  for (let i = prng.int(5); i > 0; i--) {
    const name = prng.pick(['fl-id', 'ü', '', String(prng.int(9)), `h${i}`.repeat(prng.int(90))])
    headers[name] = prng.chance(0.2) ? [value(), value()] : prng.chance(0.1) ? [] : value()
  }
  const deltas = [0, 1, -1, 63, 64, -65, 2 ** 14, 2 ** 29, -(2 ** 29), 2 ** 30, 2 ** 31, 2 ** 40]
  return {
    offsetDelta: prng.pick([0, 1, 63, 64, 8191, 100_000]),
    timestampDelta: prng.pick(deltas),
    key: prng.pick([null, undefined, value()]),
    value: prng.chance(0.1) ? null : value(),
    ...(prng.chance(0.8) && { headers })
  }
}

test(`records have the same bytes as the original's (seed ${seed})`, () => {
  const encode = encodeRecordWith(originalRecord)
  const prng = new Prng(seed)
  for (let i = 0; i < 2000; i++) {
    const record = randomRecord(prng)
    const mended = encode(record)
    expect(mended.buffer.equals(originalRecord(record).buffer)).toBe(true)
    expect(Buffer.isBuffer(mended.buf)).toBe(true)
  }
})

test('a record takes what the original cannot: a null header, and bytes that are no Buffer', () => {
  const encode = encodeRecordWith(originalRecord)
  const record = { value: Buffer.from([1, 2, 3]), headers: { h: null } }
  expect([...encode(record).buffer]).toEqual([24, 0, 0, 0, 1, 6, 1, 2, 3, 2, 2, 104, 1])
  const array = encode({ value: new Uint8Array([1, 2, 3]) }).buffer
  expect(array.equals(encode({ value: Buffer.from([1, 2, 3]) }).buffer)).toBe(true)
})

/** Path in kafkajs/src → the first 16 digits of its SHA-256. A change: read it again, then the mends. */
const READ_MODULES: Record<string, string> = {
  'network/requestQueue/index.js': 'b55986089c14f8f7',
  'producer/groupMessagesPerPartition.js': 'ea72357721fbf677',
  'producer/partitioners/default/index.js': '3d2f2d85e5cab124',
  'producer/partitioners/default/murmur2.js': '82c3a52a692c32b2',
  'producer/partitioners/legacy/partitioner.js': '3ae08ffba7642537',
  'producer/sendMessages.js': '8a120e6993955e04',
  'producer/messageProducer.js': '529636e6ab99b297',
  'producer/createTopicData.js': '26da133f71f776a6',
  'producer/responseSerializer.js': 'fae4bfc9539e975e',
  'producer/eosManager/index.js': 'a74ae029d7aa786b',
  'protocol/recordBatch/crc32C/index.js': '0826ea7387f25400',
  'protocol/recordBatch/crc32C/crc32C.js': '1c09c7a44e7a207f',
  'protocol/recordBatch/record/v0/index.js': 'ffbc628c1f35f5de',
  'protocol/recordBatch/v0/index.js': '6d6b63a8959ff0b9',
  'protocol/requests/produce/v3/request.js': '993a3db997827088'
}
