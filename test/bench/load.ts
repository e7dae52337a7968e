import net from 'node:net'
import { connectBytes, publishBytes } from '../kit/raw-mqtt.ts'
import { keyOf, Payload, topicOf } from './payload.ts'

/*
 * A process that publishes MQTT 3.1.1 at QoS 1 from many connections, as fast or as slowly as
 * asked, and prints one JSON line. By hand, because a client library would cost more than the agent
 * that is measured. Loopback only. SIGTERM: nothing more is published, what is under way is waited
 * for.
 *
 *   node load.js PORT CONNECTIONS WINDOW COUNT RATE PAYLOAD_BYTES
 */

export interface LoadResult {
  acknowledged: number
  /** First publish, epoch ms. */
  startedAt: number
  seconds: number
  perSecond: number
  pubackMs: { p50: number; p99: number; max: number }
  /** By Kafka key: the highest sequence, all up to it acknowledged. */
  ledger: Record<string, number>
}

/** Of one in so many the wait for its PUBACK is kept. */
const SAMPLE = 10
const TICK_MS = 2

const [port, connections, window, count, rate, payloadBytes] = process.argv.slice(2).map(Number)
const perConnection = Math.floor(count / connections)
const payload = new Payload(payloadBytes)
const publishers: (() => void)[] = []
const waits: number[] = []
const ledger: Record<string, number> = {}
let startedAt = 0
let startedMs = 0
let acknowledged = 0
let open = connections
let stopping = false

function run(index: number): void {
  const name = `bench-${process.pid}-${index}`
  const template = publishBytes({ topic: topicOf(name), payload: payload.bytes, qos: 1 })
  const payloadAt = template.length - payload.bytes.length
  const sentMs = new Map<number, number>()
  let next = 1
  let sent = 0
  let rest: Buffer = Buffer.alloc(0)
  const socket = net.connect(port, '127.0.0.1', () => {
    socket.write(connectBytes({ clientId: name, keepAliveS: 60 }))
  })
  socket.setNoDelay(true)

  /** How many may have been sent by now; connections take turns. */
  const due = (nowMs: number): number => {
    if (stopping) return 0
    if (!rate) return perConnection
    const each = ((nowMs - startedMs) / 1000) * (rate / connections) + index / connections
    return Math.min(perConnection, Math.floor(each))
  }

  const publish = (): void => {
    const nowMs = performance.now()
    const batch = Math.min(due(nowMs) - sent, window - sentMs.size)
    if (batch <= 0) return
    const at = Date.now()
    const out = Buffer.allocUnsafe(batch * template.length)
    for (let n = 0; n < batch; n++) {
      const position = n * template.length
      const id = next
      next = (next % 65_535) + 1
      template.copy(out, position, 0, payloadAt)
      out.writeUInt16BE(id, position + payloadAt - 2)
      payload.write(out, position + payloadAt, ++sent, at)
      sentMs.set(id, nowMs)
    }
    socket.write(out)
  }

  const endIfDone = (): void => {
    if (sentMs.size > 0 || socket.writableEnded) return
    if (sent < perConnection && !stopping) return
    ledger[keyOf(name)] = sent
    socket.end(Buffer.from([0xe0, 0]))
    if (--open === 0) report()
  }

  publishers.push(() => {
    publish()
    endIfDone()
  })
  socket.on('data', chunk => {
    const nowMs = performance.now()
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    // CONNACK and PUBACK are four bytes each; a PINGRESP, told in advance to who has to wait, is two.
    let at = 0
    for (let bytes = 4; at + bytes <= rest.length; at += bytes) {
      bytes = rest[at] === 0xd0 ? 2 : 4
      if (at + bytes > rest.length) break
      if (rest[at] === 0x20) welcome()
      if (rest[at] !== 0x40) continue
      const id = rest.readUInt16BE(at + 2)
      const from = sentMs.get(id)
      if (from === undefined) continue
      sentMs.delete(id)
      if (++acknowledged % SAMPLE === 0) waits.push(nowMs - from)
    }
    rest = rest.subarray(at)
    if (!rate && startedMs > 0) publish()
    endIfDone()
  })
  socket.on('error', error => {
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  })
  socket.on('close', () => {
    if (socket.writableEnded) return
    process.stderr.write('the agent closed a connection\n')
    process.exit(1)
  })
}

let welcomed = 0

/** All begin at once, when all are connected. */
function welcome(): void {
  if (++welcomed < connections) return
  startedAt = Date.now()
  startedMs = performance.now()
  for (const publish of publishers) publish()
  if (rate) setInterval(tick, TICK_MS)
}

function tick(): void {
  for (const publish of publishers) publish()
}

function report(): void {
  const seconds = (performance.now() - startedMs) / 1000
  // A long run has millions: numbers sort ten times as fast as what a function compares.
  const sorted = Float64Array.from(waits).sort()
  const at = (share: number) =>
    Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 100) / 100
  const result: LoadResult = {
    acknowledged,
    startedAt,
    seconds: Math.round(seconds * 100) / 100,
    perSecond: Math.round(acknowledged / seconds),
    pubackMs: { p50: at(0.5), p99: at(0.99), max: at(1) },
    ledger
  }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}

process.on('SIGTERM', () => {
  stopping = true
  tick()
})
for (let index = 0; index < connections; index++) run(index)
