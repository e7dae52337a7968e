import { once } from 'node:events'
import net from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ClockSync } from '../../agent/clock-sync.ts'
import { mqttSchema } from '../../agent/ingest/broker/config.ts'
import { EmbeddedBroker } from '../../agent/ingest/broker/embedded-broker.ts'
import { Intake } from '../../agent/ingest/intake.ts'
import { decodeStoredRecord } from '../../core/contract/stored-message.ts'
import type { DurableLog } from '../../core/log/log.ts'
import { systemClock } from '../../core/runtime/clock.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { connectBytes, RawMqtt } from '../kit/raw-mqtt.ts'
import { malformedPacket } from './malformed.ts'

export interface FuzzOptions {
  seed: number
  packets: number
  /** Connections at a time. */
  strangers?: number
  onProgress?: (report: FuzzReport) => void
}

export interface FuzzReport {
  seed: number
  packets: number
  connections: number
  /** Messages of the honest client, each acknowledged and found in the log. */
  honest: number
  malformed: number
  refused: number
  stored: number
  /** After a collection; when a tenth was sent, and at the end. */
  heapBytes: [first: number, last: number]
  rssBytes: [first: number, last: number]
  /** What must be none when everybody is gone. */
  left: { clients: number; budgetBytes: number; subscriptions: number }
  /** What went wrong; empty is good. */
  faults: string[]
}

const HONEST_TOPIC = 'telemetry/p/honest'
const PACKETS_A_CONNECTION = 12
const HONEST_EVERY_PACKETS = 500
const ACK_MS_MAX = 10_000

/**
 * Sends packets that are wrong in every way to the embedded broker over real connections, split
 * anywhere, some with a CONNECT before them; beside them one client that does everything right.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const { seed, packets: total, strangers = 16 } = options
  const prng = new Prng(seed)
  const log = new HonestLog()
  const faults: string[] = []
  const onCrash = (error: unknown) => faults.push(`uncaught: ${error}`)
  process.on('uncaughtException', onCrash)
  process.on('unhandledRejection', onCrash)
  const intake = intakeOver(log)
  const broker = await EmbeddedBroker.open(
    { ...mqttSchema.parse({}), listen: { host: '127.0.0.1', port: 0 } },
    intake,
    createLogger('error', () => {})
  )
  const honest = await RawMqtt.connect(broker.port, { clientId: 'honest' })
  const screen = await RawMqtt.connect(broker.port, { clientId: 'screen' })
  await screen.subscribe('watched/#')
  let sent = 0
  let connections = 0
  let acknowledged = 0
  let first = { heap: 0, rss: 0 }

  const report = (): FuzzReport => {
    const { refused, malformed, clients, subscriptions } = broker.status
    const last = memory()
    return {
      seed,
      packets: sent,
      connections,
      honest: acknowledged,
      malformed,
      refused: Object.values(refused).reduce((sum, n) => sum + n, 0),
      stored: log.stored,
      heapBytes: [first.heap, last.heap],
      rssBytes: [first.rss, last.rss],
      left: { clients, subscriptions, budgetBytes: intake.budget.used },
      faults
    }
  }
  const honestRound = async () => {
    const id = 1 + (acknowledged % 65_535)
    honest.publish({ topic: HONEST_TOPIC, payload: `${acknowledged}`, qos: 1, id })
    await honest.until(() => honest.acks().includes(`puback ${id}`), ACK_MS_MAX)
    await honest.roundTrip()
    honest.packets.length = 0
    screen.packets.length = 0
    if (!log.honest.delete(`${acknowledged}`)) faults.push(`message ${acknowledged} is not stored`)
    acknowledged++
  }
  const stranger = async (own: Prng) => {
    while (sent < total && faults.length === 0) {
      connections++
      const packets = await visit(broker.port, own, connections)
      sent += packets
    }
  }
  try {
    const visits = Promise.all(Array.from({ length: strangers }, () => stranger(prng.fork())))
    let tenth = 1
    for (let done = false; !done; ) {
      const until = Math.min(total, sent + HONEST_EVERY_PACKETS)
      while (sent < until && faults.length === 0) await new Promise(setImmediate)
      await honestRound()
      if (sent >= (tenth * total) / 10) {
        const at = memory()
        if (tenth === 1) first = at
        options.onProgress?.(report())
        tenth++
      }
      done = sent >= total || faults.length > 0
    }
    await visits
    await honestRound()
  } catch (error) {
    faults.push(String(error))
  }
  honest.destroy()
  screen.destroy()
  await settled(() => {
    const { clients, subscriptions } = broker.status
    return clients === 0 && subscriptions === 0 && intake.budget.used === 0
  })
  const last = report()
  await broker.close()
  process.off('uncaughtException', onCrash)
  process.off('unhandledRejection', onCrash)
  return last
}

/** One connection: some packets in pieces, then its end. @returns Packets sent. */
async function visit(port: number, prng: Prng, number: number): Promise<number> {
  // An address of its own for each few thousand: ports of closed connections are not free at once.
  const localAddress = `127.0.${1 + ((number >> 12) % 200)}.1`
  const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
  let closed = false
  const end = new Promise<void>(resolve => {
    socket.once('close', () => {
      closed = true
      resolve()
    })
  })
  socket.on('error', () => {})
  socket.resume()
  await Promise.race([once(socket, 'connect').catch(() => {}), end])
  const parts: Buffer[] = []
  if (prng.chance(0.8)) {
    parts.push(connectBytes({ clientId: `x${prng.int(64)}`, clean: prng.chance(0.9) }))
  }
  const count = 1 + prng.int(PACKETS_A_CONNECTION)
  for (let n = 0; n < count; n++) parts.push(malformedPacket(prng).bytes)
  let bytes = Buffer.concat(parts)
  while (bytes.length > 0 && !closed) {
    const length = prng.chance(0.5) ? bytes.length : 1 + prng.int(bytes.length)
    socket.write(bytes.subarray(0, length))
    bytes = bytes.subarray(length)
    if (prng.chance(0.7)) await new Promise(setImmediate)
  }
  if (prng.chance(0.1)) socket.resetAndDestroy()
  else socket.end()
  await end
  return count
}

/** Keeps what the honest client published, and counts the rest. */
class HonestLog {
  readonly honest = new Set<string>()
  stored = 0

  async append(payloads: readonly Uint8Array[]): Promise<number> {
    for (const payload of payloads) {
      const record = decodeStoredRecord(payload)
      if (record.kind === 'message' && record.message.topic === HONEST_TOPIC) {
        this.honest.add(Buffer.from(record.message.payload).toString())
      }
      this.stored++
    }
    // As a sync does: what has come meanwhile is told together.
    await new Promise(setImmediate)
    return this.stored
  }
}

function intakeOver(log: HonestLog): Intake {
  const clock = systemClock
  const clockSync = new ClockSync({ clock, bootId: 7n, floorAt: 0, onMark: () => {} })
  return new Intake(log as unknown as DurableLog, clockSync, 16 << 20, clock)
}

let collect: (() => void) | undefined

function memory(): { heap: number; rss: number } {
  if (!collect) {
    setFlagsFromString('--expose-gc')
    collect = runInNewContext('gc') as () => void
  }
  collect()
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage()
  return { heap: heapUsed + arrayBuffers, rss }
}

async function settled(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + ACK_MS_MAX
  while (!condition() && Date.now() < deadline)
    await new Promise(resolve => setTimeout(resolve, 20))
}
