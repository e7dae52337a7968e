import type { Prng } from '../../core/runtime/prng.ts'
import {
  connectBytes,
  lengthBytes,
  packetBytes,
  publishBytes,
  pubrelBytes
} from '../kit/raw-mqtt.ts'

export type Mutation =
  | 'none'
  | 'bits'
  | 'truncated'
  | 'length'
  | 'huge_length'
  | 'endless_length'
  | 'noise'
  | 'inserted'

const MUTATIONS: readonly Mutation[] = [
  'none',
  'bits',
  'truncated',
  'length',
  'huge_length',
  'endless_length',
  'noise',
  'inserted'
]

/** A packet that a device might send, and what has been done to it. */
export function malformedPacket(prng: Prng): { mutation: Mutation; bytes: Buffer } {
  // Most are left as they are: what is behind a wrong one is not looked at.
  const mutation = prng.chance(0.75) ? 'none' : prng.pick(MUTATIONS)
  const valid = validPacket(prng)
  return { mutation, bytes: mutate(mutation, valid, prng) }
}

/** Any packet of MQTT 3.1.1, of a client or of a server. */
function validPacket(prng: Prng): Buffer {
  const id = Buffer.from([prng.int(256), prng.int(256)])
  const topic = prng.chance(0.95)
    ? prng.pick(['telemetry/p/bad', 'a', 'watched/x', 'ü/水'])
    : prng.pick(['alerts/x', 'a/+/b', ''])
  switch (prng.chance(0.9) ? 4 + prng.int(8) : prng.int(4)) {
    case 0:
      return connectBytes({
        clientId: `x${prng.int(8)}`,
        clean: prng.chance(0.9),
        version: prng.pick([3, 4, 4, 4, 5]),
        ...(prng.chance(0.3) && { will: { topic, payload: 'gone', qos: prng.pick([0, 1, 2]) } })
      })
    case 1:
      return packetBytes(prng.pick([0x40, 0x50, 0x70, 0x90, 0xb0, 0x20]), id)
    case 2:
      return Buffer.from([prng.pick([0xe0, 0xd0, 0xf0, 0x00]), 0])
    case 3:
      return packetBytes(0x82, id, textBytes(topic), Buffer.from([prng.int(4)]))
    case 4:
      return packetBytes(0x82, Buffer.from([0, 1]), textBytes(topic), Buffer.from([prng.int(3)]))
    case 5:
      return packetBytes(0xa2, id, textBytes(topic))
    case 6:
      return pubrelBytes(prng.int(65_536))
    case 7:
      return Buffer.from([0xc0, 0])
    default:
      return publishBytes({
        topic,
        payload: noise(prng, prng.chance(0.01) ? 40_000 : 200),
        qos: prng.pick([0, 1, 2]),
        id: 1 + prng.int(65_535),
        dup: false,
        retain: prng.chance(0.1)
      })
  }
}

function mutate(mutation: Mutation, valid: Buffer, prng: Prng): Buffer {
  const bodyAt = 1 + lengthBytes(valid.length).length
  const body = valid.subarray(Math.min(bodyAt, valid.length))
  switch (mutation) {
    case 'none':
      return valid
    case 'bits': {
      const copy = Buffer.from(valid)
      for (let n = 1 + prng.int(4); n > 0; n--) copy[prng.int(copy.length)] ^= 1 << prng.int(8)
      return copy
    }
    case 'truncated':
      return valid.subarray(0, 1 + prng.int(valid.length))
    case 'length':
      return Buffer.concat([valid.subarray(0, 1), lengthBytes(prng.int(300)), body])
    case 'huge_length': {
      const length = prng.pick([65_536, 1 << 20, (1 << 20) + 5000, 268_435_455])
      return Buffer.concat([valid.subarray(0, 1), lengthBytes(length), body])
    }
    case 'endless_length':
      return Buffer.concat([valid.subarray(0, 1), Buffer.alloc(1 + prng.int(6), 0xff), body])
    case 'noise':
      return noise(prng, 64)
    default: {
      const at = prng.int(valid.length)
      return Buffer.concat([valid.subarray(0, at), noise(prng, 8), valid.subarray(at)])
    }
  }
}

function noise(prng: Prng, lengthMax: number): Buffer {
  const bytes = Buffer.alloc(1 + prng.int(lengthMax))
  for (let at = 0; at < bytes.length; at++) bytes[at] = prng.uint32()
  return bytes
}

function textBytes(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes])
}
