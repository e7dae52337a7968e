import net from 'node:net'

/*
 * A process that publishes MQTT 3.1.1 at QoS 1 from many connections, as fast or as slowly as
 * asked, and prints one JSON line. By hand, because a client library would cost more than the agent
 * that is measured. Loopback only.
 *
 *   node load.js PORT CONNECTIONS WINDOW COUNT RATE PAYLOAD_BYTES
 */

export interface LoadResult {
  acknowledged: number
  seconds: number
  perSecond: number
  pubackMs: { p50: number; p99: number; max: number }
}

const [port, connections, window, count, rate, payloadBytes] = process.argv.slice(2).map(Number)
const perConnection = Math.floor(count / connections)
const startedAt = performance.now()
const waits: number[] = []
let acknowledged = 0
let open = connections

function remainingLength(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...remainingLength(Math.floor(value / 128))]
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

function packet(first: number, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([first, ...remainingLength(body.length)]), body])
}

function run(index: number): void {
  const name = `bench-${process.pid}-${index}`
  const topic = text(`telemetry/bench/${name}/temperature`)
  const padding = 'x'.repeat(Math.max(0, payloadBytes - 50))
  const sentAt = new Map<number, number>()
  let next = 1
  let sent = 0
  let rest: Buffer = Buffer.alloc(0)
  const socket = net.connect(port, '127.0.0.1', () => {
    const head = Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 60]), text(name)])
    socket.write(packet(0x10, head))
  })
  socket.setNoDelay(true)

  const publish = (): void => {
    const due = rate ? ((performance.now() - startedAt) / 1000) * (rate / connections) : Infinity
    const out: Buffer[] = []
    while (sent < perConnection && sentAt.size < window && sent < due) {
      const id = next
      next = (next % 65_535) + 1
      sent++
      const payload = `{"seq":${sent},"value":${(sent % 100) / 10},"pad":"${padding}"}`
      const body = Buffer.concat([topic, Buffer.from([id >> 8, id & 255]), Buffer.from(payload)])
      out.push(packet(0x32, body))
      sentAt.set(id, performance.now())
    }
    if (out.length > 0) socket.write(Buffer.concat(out))
    if (rate && sent < perConnection) setTimeout(publish, 2)
  }

  socket.on('data', chunk => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    // CONNACK and PUBACK are four bytes each.
    let at = 0
    for (; at + 4 <= rest.length; at += 4) {
      if (rest[at] === 0x20) publish()
      if (rest[at] !== 0x40) continue
      const id = rest.readUInt16BE(at + 2)
      const from = sentAt.get(id)
      if (from === undefined) continue
      sentAt.delete(id)
      acknowledged++
      if (acknowledged % 10 === 0) waits.push(performance.now() - from)
    }
    rest = rest.subarray(at)
    if (!rate) publish()
    if (sent === perConnection && sentAt.size === 0) {
      socket.end(Buffer.from([0xe0, 0]))
      if (--open === 0) report()
    }
  })
  socket.on('error', error => {
    process.stderr.write(`${error.message}\n`)
    process.exit(1)
  })
}

function report(): void {
  const seconds = (performance.now() - startedAt) / 1000
  waits.sort((a, b) => a - b)
  const at = (share: number) =>
    Math.round(waits[Math.floor((waits.length - 1) * share)] * 100) / 100
  const result: LoadResult = {
    acknowledged,
    seconds: Math.round(seconds * 100) / 100,
    perSecond: Math.round(acknowledged / seconds),
    pubackMs: { p50: at(0.5), p99: at(0.99), max: at(1) }
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

for (let index = 0; index < connections; index++) run(index)
