import { once } from 'node:events'
import net from 'node:net'
import { expect, test } from 'vitest'
import { connectBytes, RawMqtt } from '../../kit/raw-mqtt.ts'
import { startBroker } from './broker/broker-kit.ts'
import { readVectors, type Vector } from './vector-kit.ts'

const SLACK_MS = 2_000
const PING = Buffer.from([0xc0, 0])
const PONG = Buffer.from([0xd0, 0])

/** Vectors that the listener does not follow, with the reason. Everything else passes. */
const WRONG_ACK =
  'aedes keeps no list of what it sent to a session that is not kept: an acknowledgement of the wrong kind is not told from an unsolicited one, which other vectors want ignored'
const ORDER =
  'a message is acknowledged once it is stored, and delivered after that: MQTT leaves open whether its own sender, being subscribed, gets it before the acknowledgement or after'
const EXCEPTIONS: Record<string, string> = {
  'FLOW: QoS 1 PUBLISH-PUBREC': WRONG_ACK,
  'FLOW: QoS 1 PUBLISH-PUBCOMP': WRONG_ACK,
  'FLOW: QoS 2 PUBLISH-PUBACK': WRONG_ACK,
  'FLOW: QoS 2 PUBLISH-PUBCOMP': WRONG_ACK,
  'FLOW: QoS 2 PUBLISH-PUBREC-PUBREL-PUBACK': WRONG_ACK,
  'OTHER: subpub self publish qos1': ORDER,
  'OTHER: subpub retain as normal qos1': ORDER,
  'PUBLISH: 34 QoS 2 Dup flow*3':
    'a QoS 2 message is answered as often as it is repeated; Mosquitto gives up at the third time',
  'PUBLISH: PUBLISH with $ topic': 'topics that begin with $ are reserved: refused, and counted'
}

const vectors = readVectors()

test.skipIf(vectors.length === 0)(
  'every packet vector of MQTT 3.1 and 3.1.1 passes, or stands in the table with a reason',
  async () => {
    const results: { vector: Vector; difference: string | undefined }[] = []
    for (const vector of vectors) {
      const { broker } = await startBroker()
      results.push({ vector, difference: await run(vector, broker.port) })
    }
    const failed = results.filter(({ difference }) => difference !== undefined)
    const unexpected = failed.filter(({ vector }) => !(vector.name in EXCEPTIONS))
    expect(unexpected.map(({ vector, difference }) => `${vector.name} – ${difference}`)).toEqual([])
    expect(failed.map(({ vector }) => vector.name).sort()).toEqual(Object.keys(EXCEPTIONS).sort())
    expect(results.length).toBe(314)
  }
)

/** @returns What came other than the vector says. */
async function run(vector: Vector, port: number): Promise<string | undefined> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const wire = new Wire(socket)
  try {
    if (vector.connects) {
      const connect = connectBytes({ clientId: 'vector', clean: true })
      socket.write(connect)
      const connack = await wire.read(4)
      if (!connack.equals(Buffer.from([0x20, 2, 0, 0]))) return 'no CONNACK'
    }
    const ids = new Map<number, number>()
    for (const step of vector.steps) {
      if (step.kind === 'send') socket.write(withOwnId(step.bytes, ids))
      else if (step.kind === 'publish') await publishBeside(port, step)
      else {
        const got = await wire.read(step.bytes.length)
        if (!sameButId(step.bytes, got, ids)) {
          return `expected ${step.bytes.toString('hex')}, got ${got.toString('hex') || 'nothing'}`
        }
      }
    }
    if (vector.disconnects) {
      const rest = await wire.read(1)
      if (rest.length > 0) return `expected the end, got ${rest.toString('hex')}`
      return wire.ended ? undefined : 'expected the end, the connection stays'
    }
    socket.write(PING)
    const pong = await wire.read(2)
    return pong.equals(PONG)
      ? undefined
      : `expected PINGRESP, got ${pong.toString('hex') || 'nothing'}`
  } finally {
    socket.destroy()
  }
}

/** The packet ids of what the broker sends are its own choice: those of the vector stand for them. */
function sameButId(expected: Buffer, got: Buffer, ids: Map<number, number>): boolean {
  const type = expected[0] >> 4
  const idAt = type === 3 && (expected[0] & 6) !== 0 ? 4 + expected.readUInt16BE(2) : 2
  const isOurs = (type === 3 && idAt !== 2) || type === 6
  if (!isOurs || got.length !== expected.length) return expected.equals(got)
  const copy = Buffer.from(expected)
  if (type === 3) ids.set(expected.readUInt16BE(idAt), got.readUInt16BE(idAt))
  copy.writeUInt16BE(ids.get(expected.readUInt16BE(idAt)) ?? expected.readUInt16BE(idAt), idAt)
  return copy.equals(got)
}

/** PUBACK, PUBREC and PUBCOMP of the client name what the broker sent. */
function withOwnId(bytes: Buffer, ids: Map<number, number>): Buffer {
  const id = bytes.length === 4 && [4, 5, 7].includes(bytes[0] >> 4) ? bytes.readUInt16BE(2) : 0
  const own = ids.get(id)
  if (own === undefined) return bytes
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE(own, 2)
  return copy
}

async function publishBeside(
  port: number,
  step: { topic: string; payload: string; qos: 0 | 1 | 2 }
): Promise<void> {
  const helper = await RawMqtt.connect(port, { clientId: 'helper' })
  helper.publish({ ...step, id: 1 })
  if (step.qos > 0) await helper.until(() => helper.acks().length > 0)
  if (step.qos === 2) helper.send(Buffer.from([0x62, 2, 0, 1]))
  await helper.roundTrip()
  helper.destroy()
}

/** Reads exactly so many bytes, fewer at the end or when nothing more comes. */
class Wire {
  ended = false
  #bytes = Buffer.alloc(0)
  #wake: () => void = () => {}

  constructor(socket: net.Socket) {
    socket.on('data', bytes => {
      this.#bytes = Buffer.concat([this.#bytes, bytes])
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.ended = true
      this.#wake()
    })
  }

  async read(count: number): Promise<Buffer> {
    const deadline = Date.now() + SLACK_MS
    while (this.#bytes.length < count && !this.ended && Date.now() < deadline) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, deadline - Date.now())
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    const bytes = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(bytes.length)
    return bytes
  }
}
