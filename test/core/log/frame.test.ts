import { crc32 } from 'node:zlib'
import { expect, test } from 'vitest'
import { checkFrame, FRAME_HEADER_BYTES, frameBytes, writeFrame } from '../../../core/log/frame.ts'
import { Prng } from '../../../core/runtime/prng.ts'

test('a frame carries the CRC-32 of all that follows it, seeded with the salt', () => {
  const prng = new Prng(1)
  for (let n = 0; n < 200; n++) {
    const payload = Buffer.from(Array.from({ length: 1 + prng.int(300) }, () => prng.int(256)))
    const salt = prng.pick([0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, prng.int(2 ** 32)])
    const offset = prng.int(2 ** 48)
    const position = prng.int(50)
    const bytes = Buffer.alloc(position + frameBytes(payload) + prng.int(50), 0xee)
    const end = writeFrame(bytes, position, salt, offset, payload)
    expect(end).toBe(position + FRAME_HEADER_BYTES + payload.length)
    expect(bytes.readUInt32BE(position)).toBe(crc32(bytes.subarray(position + 4, end), salt))
    expect(checkFrame(bytes, position, salt)).toEqual({ kind: 'valid', offset, end, payload })
    expect(checkFrame(bytes, position, (salt ^ 1) >>> 0).kind).not.toBe('valid')
  }
})

test('no bit of a frame can flip without notice', () => {
  const payload = Buffer.from('a reading of one sensor')
  const bytes = Buffer.alloc(frameBytes(payload))
  writeFrame(bytes, 0, 0xdead_beef, 0x1234_5678_9abc, payload)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7)
    expect(checkFrame(bytes, 0, 0xdead_beef).kind, `bit ${bit}`).not.toBe('valid')
    bytes[bit >> 3] ^= 1 << (bit & 7)
  }
  expect(checkFrame(bytes, 0, 0xdead_beef).kind).toBe('valid')
})
