import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { LargePackets } from '../../../../agent/ingest/upstream/large-packets.ts'
import { readThrough } from '../../../../agent/ingest/upstream/read-through.ts'
import { Prng } from '../../../../core/runtime/prng.ts'
import { packetOf, publishOf } from './large-packet-kit.ts'

/* PUBLISH packets that are too large, shortened on their way to the mqtt client. */

const BODY_BYTES_MAX = 300
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]

interface Expected {
  packet: Buffer
  /** What the client gets, and how many bytes it lost. */
  passed: Buffer
  lost: number | undefined
  isPublish: boolean
}

/** The reference: packet by packet, each of them whole. */
function expectedOf(packet: Buffer, topicBytes: number, mqttVersion: '3.1.1' | '5'): Expected {
  const isPublish = packet[0] >> 4 === 3
  const bodyAt = packet.findIndex((byte, at) => at > 0 && byte < 0x80) + 1
  if (packet.length - bodyAt <= BODY_BYTES_MAX) {
    return { packet, passed: packet, lost: undefined, isPublish }
  }
  const restAt = bodyAt + 2 + topicBytes + ((packet[0] & 6) === 0 ? 0 : 2)
  const properties = Buffer.alloc(mqttVersion === '5' ? 1 : 0)
  const body = Buffer.concat([packet.subarray(bodyAt, restAt), properties])
  return { packet, passed: packetOf(packet[0], body), lost: packet.length - restAt, isPublish }
}

function randomPackets(prng: Prng, mqttVersion: '3.1.1' | '5', count: number): Expected[] {
  return Array.from({ length: count }, () => {
    const kind = prng.int(4)
    if (kind === 0) return expectedOf(Buffer.from([0xd0, 0]), 0, mqttVersion)
    if (kind === 1) return expectedOf(Buffer.from([0x62, 2, 7, prng.int(256)]), 0, mqttVersion)
    const topic = 't'.repeat([1, 3, 126, 127, 200, 290, 310, 20_000][prng.int(8)])
    const bytes = [0, 1, 90, 160, 170, 290, 300, 301, 1_000, 40_000][prng.int(10)]
    const payload = Buffer.alloc(bytes, prng.int(256))
    const qos = prng.int(3) as 0 | 1 | 2
    const packet = publishOf({ topic, payload, qos, packetId: 1 + prng.int(65_535), mqttVersion })
    return expectedOf(packet, topic.length, mqttVersion)
  })
}

function outcome(chunks: Buffer[], publishes: number, mqttVersion: '3.1.1' | '5') {
  const large = new LargePackets(BODY_BYTES_MAX, mqttVersion)
  const parts: Buffer[] = []
  for (const chunk of chunks) large.pass(chunk, part => parts.push(part))
  const lost = Array.from({ length: publishes }, () => large.publishArrived())
  return { bytes: Buffer.concat(parts).toString('hex'), lost, heldBytes: large.heldBytes }
}

function wanted(packets: Expected[]) {
  const publishes = packets.filter(({ isPublish }) => isPublish)
  const bytes = Buffer.concat(packets.map(({ passed }) => passed)).toString('hex')
  return { bytes, lost: publishes.map(({ lost }) => lost), heldBytes: 0 }
}

test.each(SEEDS.flatMap(seed => [['3.1.1', seed] as const, ['5', seed] as const]))(
  'however the chunks are cut, what is too large is shortened and all else is untouched, MQTT %s, seed %i',
  (mqttVersion, seed) => {
    const prng = new Prng(seed)
    for (let round = 0; round < 20; round++) {
      const packets = randomPackets(prng, mqttVersion, 30)
      const sent = Buffer.concat(packets.map(({ packet }) => packet))
      const longest = [1, 2, 7, 100, 5_000, 200_000][prng.int(6)]
      const chunks: Buffer[] = []
      for (let at = 0; at < sent.length; at += chunks.at(-1)?.length ?? 0) {
        chunks.push(sent.subarray(at, at + 1 + prng.int(longest)))
      }
      const expected = wanted(packets)
      expect(outcome(chunks, expected.lost.length, mqttVersion)).toEqual(expected)
    }
  }
)

test.each(['3.1.1', '5'] as const)('every cut in two or three gives the same, MQTT %s', version => {
  const mqttVersion = version
  const payload = Buffer.alloc(400, 'x')
  const small = Buffer.from('23.5')
  const packets = [
    publishOf({ topic: 'a/b', payload: small, qos: 1, packetId: 1, mqttVersion }),
    publishOf({ topic: 'a/b', payload, qos: 1, packetId: 2, mqttVersion }),
    publishOf({ topic: 'a/b', payload, qos: 0, packetId: 0, mqttVersion }),
    publishOf({ topic: 'a/b', payload: small, qos: 2, packetId: 3, mqttVersion })
  ].map(packet => expectedOf(packet, 3, mqttVersion))
  const expected = wanted(packets)
  const sent = Buffer.concat(packets.map(({ packet }) => packet))
  for (let one = 0; one <= sent.length; one++) {
    for (const more of [1, 2, 3, 30]) {
      const two = Math.min(one + more, sent.length)
      const chunks = [sent.subarray(0, one), sent.subarray(one, two), sent.subarray(two)]
      expect(outcome(chunks, 4, mqttVersion)).toEqual(expected)
    }
  }
  expect(expected.lost).toEqual([
    undefined,
    ...(version === '5' ? [401, 401] : [400, 400]),
    undefined
  ])
})

test('a chunk that has nothing to shorten is passed on itself, also within a packet', () => {
  const large = new LargePackets(BODY_BYTES_MAX, '3.1.1')
  const publish = publishOf({ topic: 't', payload: Buffer.alloc(200), qos: 1, packetId: 1 })
  const twice = Buffer.concat([publish, publish])
  const parts: Buffer[] = []
  const chunks = [twice.subarray(0, 20), twice.subarray(20, 90), twice.subarray(90)]
  for (const chunk of chunks) large.pass(chunk, part => parts.push(part))
  expect(parts.length).toBe(3)
  for (const [at, part] of parts.entries()) expect(part).toBe(chunks[at])
})

test('a topic and 7 bytes are held at most, however long the properties and the payload are', () => {
  const large = new LargePackets(BODY_BYTES_MAX, '5')
  const topic = 't'.repeat(65_535)
  // What claims to be 268 MB of properties is as good as a payload.
  const body = [Buffer.from([0xff, 0xff]), Buffer.from(topic), Buffer.from([0, 9])]
  const head = Buffer.from([0x32, 0xff, 0xff, 0xff, 0x7f])
  const passed: Buffer[] = []
  let heldBytesMax = 0
  const send = (chunk: Buffer) => {
    large.pass(chunk, part => passed.push(part))
    heldBytesMax = Math.max(heldBytesMax, large.heldBytes)
  }
  for (const chunk of [head, ...body]) {
    for (let at = 0; at < chunk.length; at += 1_000) send(chunk.subarray(at, at + 1_000))
  }
  const chunk = Buffer.alloc(65_536, 0xff)
  const bodyBytes = 0x0fff_ffff
  for (let rest = bodyBytes - 2 - 65_535 - 2; rest > 0; rest -= chunk.length) {
    expect(passed).toEqual([])
    send(chunk.subarray(0, rest))
  }
  expect(passed.map(({ length }) => length)).toEqual([4 + 2 + 65_535 + 2 + 1])
  expect(heldBytesMax).toBeLessThanOrEqual(65_535 + 7)
  expect(large.heldBytes).toBe(0)
  expect(large.publishArrived()).toBe(bodyBytes - 2 - 65_535 - 2)
})

test('other packets that are too large, and lengths that are none, are refused behind what was well', () => {
  const ping = Buffer.from([0xd0, 0])
  for (const [bad, reason] of [
    [[0x90, 0xad, 0x02], 'a packet of type 9 with 301 bytes'],
    [[0x30, 0xff, 0xff, 0xff, 0xff], 'a packet whose length is not MQTT']
  ] as const) {
    const large = new LargePackets(BODY_BYTES_MAX, '3.1.1')
    const parts: Buffer[] = []
    const sent = Buffer.concat([ping, Buffer.from(bad)])
    expect(() => large.pass(sent, part => parts.push(part))).toThrow(reason)
    expect(parts).toEqual([ping])
  }
})

test('a packet is said to be coming while bytes of it come', () => {
  const large = new LargePackets(BODY_BYTES_MAX, '3.1.1')
  const passOn = () => {}
  for (const bytes of [200, 2_000]) {
    const publish = publishOf({ topic: 't', payload: Buffer.alloc(bytes), qos: 0, packetId: 0 })
    expect(large.isComing()).toBe(false)
    large.pass(publish.subarray(0, 50), passOn)
    expect(large.isComing()).toBe(true)
    expect(large.isComing(), 'nothing more came').toBe(false)
    large.pass(publish.subarray(50, 60), passOn)
    expect(large.isComing()).toBe(true)
    large.pass(publish.subarray(60), passOn)
  }
})

// --- In the stream -----------------------------------------------------------------------------

function source() {
  let reads = 0
  const stream = new Readable({ highWaterMark: 4, read: () => reads++ })
  return { stream, reads: () => reads }
}

test('a stream of which everything is thrown away is read on to its end', async () => {
  const { stream, reads } = source()
  const read: string[] = []
  const ended = new Promise(resolve => stream.on('end', resolve))
  readThrough(stream, (chunk, passOn) => {
    if (chunk.length > 3) return
    passOn(chunk)
    passOn(chunk)
  })
  stream.on('data', chunk => read.push(`${chunk}`))
  for (const text of ['12345', '12345', 'abc', '12345']) {
    const before = reads()
    expect(stream.push(Buffer.from(text))).toBe(true)
    await new Promise(resolve => setImmediate(resolve))
    expect(reads()).toBeGreaterThan(before)
  }
  stream.push(null)
  await ended
  expect(read).toEqual(['abc', 'abc'])
})

test('a stream that is full says so, and is read on when there is room', async () => {
  const { stream, reads } = source()
  readThrough(stream, (chunk, passOn) => passOn(chunk))
  expect(stream.push(Buffer.from('12345'))).toBe(false)
  const before = reads()
  expect(`${stream.read()}`).toBe('12345')
  await new Promise(resolve => setImmediate(resolve))
  expect(reads()).toBeGreaterThan(before)
})

test('an error of the filter is the end of the stream, and nothing is passed on behind it', async () => {
  const { stream } = source()
  const failed = new Promise(resolve => stream.on('error', resolve))
  readThrough(stream, (chunk, passOn) => {
    passOn(chunk)
    throw new Error('too large')
  })
  expect(stream.push(Buffer.from('1'))).toBe(false)
  expect(await failed).toEqual(new Error('too large'))
  expect(stream.destroyed).toBe(true)
})
