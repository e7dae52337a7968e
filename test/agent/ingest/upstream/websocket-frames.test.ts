import { expect, test } from 'vitest'
import {
  FRAME_BYTES_MAX,
  WebSocketFrames
} from '../../../../agent/ingest/upstream/websocket-frames.ts'
import { Prng } from '../../../../core/runtime/prng.ts'

/* Long WebSocket messages, cut into short ones on their way to the WebSocket client. */

const RESPONSE = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')
const PING = 0x89

function frame(first: number, payload: Buffer): Buffer {
  const { length } = payload
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), payload])
  const isShort = length <= 0xffff
  const head = Buffer.alloc(isShort ? 4 : 10)
  head.set([first, isShort ? 126 : 127])
  if (isShort) head.writeUInt16BE(length, 2)
  else head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, payload])
}

/** The reference reader. */
function framesIn(bytes: Buffer): { first: number; payload: Buffer }[] {
  const frames: { first: number; payload: Buffer }[] = []
  for (let at = 0; at < bytes.length; ) {
    const short = bytes[at + 1]
    const isLong = short === 127
    const length = isLong
      ? Number(bytes.readBigUInt64BE(at + 2))
      : short === 126
        ? bytes.readUInt16BE(at + 2)
        : short
    const start = at + 2 + (isLong ? 8 : short === 126 ? 2 : 0)
    frames.push({ first: bytes[at], payload: bytes.subarray(start, start + length) })
    at = start + length
  }
  return frames
}

function passed(chunks: Buffer[]): Buffer {
  const frames = new WebSocketFrames()
  const parts: Buffer[] = []
  for (const chunk of chunks) frames.pass(chunk, part => parts.push(part))
  return Buffer.concat(parts)
}

function cut(sent: Buffer, prng: Prng, longest: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < sent.length; at += chunks.at(-1)?.length ?? 0) {
    chunks.push(sent.subarray(at, at + 1 + prng.int(longest)))
  }
  return chunks
}

test.each([1, 2, 3, 4, 5, 6])(
  'however the chunks are cut, the data is the same in whole short messages, seed %i',
  seed => {
    const prng = new Prng(seed)
    const sent: Buffer[] = []
    const data: Buffer[] = []
    const pings: Buffer[] = []
    let isOpen = false
    for (let i = 0; i < 40; i++) {
      const bytes = [0, 1, 125, 126, 1_000, 65_535, 65_536, 65_537, 200_000][prng.int(9)]
      const payload = Buffer.alloc(bytes, i)
      if (prng.int(4) === 0) {
        pings.push(payload.subarray(0, 125))
        sent.push(frame(PING, payload.subarray(0, 125)))
      }
      // A message of several fragments: 0x02, 0x00 …, 0x80.
      const isLast = prng.int(2) === 0
      sent.push(frame((isLast ? 0x80 : 0) | (isOpen ? 0 : 2), payload))
      data.push(payload)
      isOpen = !isLast
    }
    const chunks = cut(Buffer.concat([RESPONSE, ...sent]), prng, [3, 50, 5_000, 100_000][seed % 4])
    const got = passed(chunks)
    expect(got.subarray(0, RESPONSE.length)).toEqual(RESPONSE)
    const frames = framesIn(got.subarray(RESPONSE.length))
    const messages = frames.filter(({ first }) => first !== PING)
    expect(messages.every(({ first }) => first === 0x82)).toBe(true)
    expect(messages.every(({ payload }) => payload.length <= FRAME_BYTES_MAX)).toBe(true)
    const joined = Buffer.concat(messages.map(({ payload }) => payload))
    expect(joined.equals(Buffer.concat(data))).toBe(true)
    const heard = frames.filter(({ first }) => first === PING).map(({ payload }) => payload)
    expect(Buffer.concat(heard).equals(Buffer.concat(pings))).toBe(true)
    expect(heard.length).toBe(pings.length)
  }
)

test('what is short and whole passes as it came, uncopied', () => {
  const frames = new WebSocketFrames()
  const parts: Buffer[] = []
  const message = frame(0x82, Buffer.alloc(1_000))
  const chunks = [
    Buffer.concat([RESPONSE, message.subarray(0, 500)]),
    Buffer.concat([message.subarray(500), frame(PING, Buffer.alloc(5)), message])
  ]
  for (const chunk of chunks) frames.pass(chunk, part => parts.push(part))
  expect(parts.length).toBe(2)
  for (const [at, part] of parts.entries()) expect(part).toBe(chunks[at])
})

test.each([
  ['a refused handshake', Buffer.from('HTTP/1.1 401 Unauthorized\r\n\r\n'), 0x02],
  ['a reserved bit', RESPONSE, 0xc2]
] as const)('%s passes with all behind it', (_, response, first) => {
  const sent = Buffer.concat([response, frame(first, Buffer.alloc(100_000)), frame(0x02, RESPONSE)])
  expect(passed(cut(sent, new Prng(1), 5_000)).equals(sent)).toBe(true)
})

test('a masked frame, which no server sends, passes for the client to refuse', () => {
  const masked = frame(0x82, Buffer.alloc(70_000))
  masked[1] |= 0x80
  const sent = Buffer.concat([RESPONSE, masked])
  expect(passed([sent]).equals(sent)).toBe(true)
})
