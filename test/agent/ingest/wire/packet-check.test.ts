import { expect, test } from 'vitest'
import { checkConnect } from '../../../../agent/ingest/wire/connect-check.ts'
import {
  headerFault,
  packetFault,
  TOPIC_MALFORMED
} from '../../../../agent/ingest/wire/packet-check.ts'
import { isWireFilter, isWireText, isWireTopic } from '../../../../agent/ingest/wire/text-check.ts'
import { bytesOf } from '../vector-kit.ts'

function holds(check: typeof isWireText, text: string | Buffer): boolean {
  const bytes = Buffer.concat([Buffer.from('\0'), Buffer.from(text), Buffer.from('\0')])
  return check(bytes, 1, bytes.length - 1)
}

test.each([
  ['', true],
  ['telemetry/p/d', true],
  ['für/水/𪛔/\uFFFD', true],
  ['a\0', false],
  ['a\tb', false],
  ['\u007f', false],
  ['\u0085', false],
  ['ü\u001f', false],
  [Buffer.from([0x61, 0xff]), false],
  // A surrogate, one byte too few, too long a form.
  [Buffer.from([0xed, 0xa0, 0x80]), false],
  [Buffer.from([0xc3]), false],
  [Buffer.from([0xc0, 0xaf]), false]
])('%j may stand as text: %s', (text, expected) => {
  expect(holds(isWireText, text)).toBe(expected)
})

test.each([
  ['a/b', true],
  ['/', true],
  ['', false],
  ['a/+', false],
  ['a#', false]
])('%j may be published to: %s', (topic, expected) => {
  expect(holds(isWireTopic, topic)).toBe(expected)
})

test.each([
  ['#', true],
  ['+', true],
  ['+/a/#', true],
  ['a/+/b', true],
  ['/+', true],
  ['', false],
  ['a/#/b', false],
  ['a#', false],
  ['#a', false],
  ['a+/b', false],
  ['a/+b', false],
  ['##', false]
])('%j is a filter: %s', (filter, expected) => {
  expect(holds(isWireFilter, filter)).toBe(expected)
})

test.each([
  ['30', undefined],
  ['3b', undefined],
  ['36', 'PUBLISH of QoS 3'],
  ['38', 'DUP with QoS 0'],
  ['39', 'DUP with QoS 0'],
  ['82', undefined],
  ['80', 'reserved flags in the header'],
  ['c1', 'reserved flags in the header'],
  ['00', 'a packet that no client sends'],
  ['d0', 'a packet that no client sends'],
  ['f0', 'a packet that no client sends']
])('a packet that begins with %s: %j', (first, expected) => {
  expect(headerFault(Number.parseInt(first, 16))).toBe(expected)
})

test.each([
  ["30 s1 'a' 'x'", undefined],
  ["32 s1 'a' m1", undefined],
  ["32 s1 'a' m0", 'packet id 0'],
  ["32 s1 'a' 01", 'PUBLISH shorter than its topic'],
  ["30 s3 'a'", 'PUBLISH shorter than its topic'],
  ['30 00', 'PUBLISH without a topic'],
  ['30 s0', 'PUBLISH on no topic, or on a filter'],
  ["30 s1 '#'", 'PUBLISH on no topic, or on a filter'],
  ['30 s1 00', TOPIC_MALFORMED],
  ['30 s1 ff', TOPIC_MALFORMED],
  ['40 m1', undefined],
  ['40 m1 00', 'an acknowledgement of another length than two'],
  ['62 m0', 'packet id 0'],
  ["82 m1 s1 'a' 02", undefined],
  ["82 m1 s1 'a' 03", 'SUBSCRIBE of a QoS beyond 2'],
  ["82 m1 s1 'a'", 'a request that ends within a filter'],
  ["82 m1 s1 'a' 00 00", 'a request that ends within a filter'],
  ['82 m1', 'a request without filters'],
  ['82 01', 'a request without packet id'],
  ['82 m1 s0 00', 'a filter that is none'],
  ["a2 m1 s1 'a' s1 '#'", undefined],
  ["a2 m0 s1 'a'", 'packet id 0'],
  ['c0', undefined],
  ['e0 00', 'bytes behind a packet that has no body']
])('%s is %j', (notation, expected) => {
  const bytes = bytesOf(notation)
  expect(packetFault(bytes[0], bytes.subarray(1))).toBe(expected)
})

test('a request has no more filters than a client may have subscriptions', () => {
  const filters = (count: number) =>
    Buffer.concat([bytesOf('m1'), Buffer.alloc(3 * count, '\0\x01f')])
  expect(packetFault(0xa2, filters(10_000))).toBeUndefined()
  expect(packetFault(0xa2, filters(10_001))).toBe('a request of more than 10000 filters')
})

test.each([
  ["s4 'MQTT' 04 02 k10 s1 'p'", {}],
  ["s4 'MQTT' 84 02 k10 s1 'p'", {}],
  ["s4 'MQTT' 04 C6 k10 s1 'p' s1 't' s2 ffff s1 'u' s2 ffff", {}],
  ["s4 'MQTT' 04 02 k10 s0", {}],
  ["s4 'MQTT' 04 00 k10 s0", { answer: bytesOf('20 02 00 02') }],
  ["s6 'MQIsdp' 03 02 k10 s0", { answer: bytesOf('20 02 00 02') }],
  ["s4 'MQTT' 03 02 k10 s1 'p'", { answer: bytesOf('20 02 00 01') }],
  ["s6 'MQIsdp' 04 02 k10 s1 'p'", { answer: bytesOf('20 02 00 01') }],
  ["s4 'MQTT' 05 02 k10 00 s1 'p'", { answer: bytesOf('20 03 00 84 00') }],
  ["s4 'HTTP' 04 02 k10 s1 'p'", { fault: 'another protocol' }],
  ["s4 'MQTT' 04 02", { fault: 'CONNECT shorter than what it announces' }],
  ["s4 'MQTT' 04 02 k10 s2 'p'", { fault: 'CONNECT shorter than what it announces' }],
  ["s4 'MQTT' 04 02 k10 s1 'p' 00", { fault: 'bytes behind what CONNECT announces' }],
  ["s4 'MQTT' 04 03 k10 s1 'p'", { fault: 'the reserved flag of CONNECT' }],
  ["s4 'MQTT' 04 1e k10 s1 'p' s1 't' s1 'm'", { fault: 'a will of QoS 3' }],
  ["s4 'MQTT' 04 0a k10 s1 'p'", { fault: 'no will, but flags' }],
  ["s4 'MQTT' 04 42 k10 s1 'p' s1 'p'", { fault: 'a password without a username' }],
  ["s4 'MQTT' 04 02 k10 s1 ff", { fault: 'a client id that is no text' }],
  ["s4 'MQTT' 04 82 k10 s1 'p' s1 00", { fault: 'text in CONNECT that is none' }]
])('CONNECT %s: %j', (body, expected) => {
  const verdict = checkConnect(Buffer.concat([bytesOf('10 00'), bytesOf(body)]), 2)
  const { fault, answer } = verdict
  expect({ ...(fault && { fault }), ...(answer && { answer: Buffer.from(answer) }) }).toEqual(
    expected
  )
})

test('of MQTT 3.1 the bits that it leaves open are cleared, and it is let in', () => {
  const connect = bytesOf("14 r15 s6 'MQIsdp' 03 01 k10 s1 'p'")
  expect(checkConnect(connect, 2)).toEqual({})
  expect(connect).toEqual(bytesOf("10 r15 s6 'MQIsdp' 03 00 k10 s1 'p'"))
})
