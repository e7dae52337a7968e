import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { startLocalKafka } from '../../cli/local-kafka.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { createKafka, type Message } from '../../core/kafka/client.ts'
import {
  COMPRESSION,
  COMPRESSIONS,
  type Compression,
  codecMissing
} from '../../core/kafka/codecs.ts'
import { socketsOf } from '../../core/kafka/sockets.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { medianOf } from './report.ts'

const MESSAGES = 100_000
const ROUNDS = 5
const DEVICES = 50
const PARTITIONS = 6
/** A gateway that keeps up sends few at once, one with a backlog many. */
const BATCHES = [20, 2_000]
const SEED = 1

interface Round {
  linkBytes: number
  cpuMicros: number
  perSecond: number
}

/**
 * What a codec saves on the link to Kafka and costs in this process, a message: readings of about
 * 200 bytes with the usual headers, to a real broker; each codec in turn, in every round.
 */
export async function benchCompression(): Promise<unknown> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-'))
  const broker = await startLocalKafka({ port: 0, dataDir: path.join(directory, 'kafka') })
  try {
    const admin = clientOf(broker.address).admin()
    await admin.connect()
    await admin.createTopics({
      topics: [{ topic: 'bench', numPartitions: PARTITIONS }],
      waitForLeaders: true
    })
    await admin.disconnect()
    const usable = COMPRESSIONS.filter(compression => codecMissing(compression) === undefined)
    const messages = messagesOf(MESSAGES)
    const payloadBytes = messages.reduce((sum, { value }) => sum + (value as Buffer).length, 0)
    const results: Record<string, unknown> = {}
    for (const batch of BATCHES) {
      // Small batches take longer: fewer of them say as much.
      const part = messages.slice(0, Math.min(MESSAGES, batch * 500))
      const rounds = new Map<Compression, Round[]>(usable.map(codec => [codec, []]))
      for (let round = 0; round < ROUNDS; round++) {
        for (const codec of usable) {
          rounds.get(codec)?.push(await send(broker.address, codec, part, batch))
        }
      }
      results[`batchOf${batch}`] = Object.fromEntries(
        [...rounds].map(([codec, all]) => [codec, summary(all)])
      )
    }
    return {
      benchmark: 'compression',
      payloadBytesPerMessage: Math.round(payloadBytes / MESSAGES),
      rounds: ROUNDS,
      seed: SEED,
      ...results,
      missing: COMPRESSIONS.map(codecMissing).filter(reason => reason !== undefined)
    }
  } finally {
    await broker.stop()
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

function clientOf(broker: string) {
  return createKafka({ brokers: [broker], clientId: 'bench', logger: silentLogger })
}

async function send(
  broker: string,
  compression: Compression,
  messages: Message[],
  batch: number
): Promise<Round> {
  const kafka = clientOf(broker)
  const sockets = socketsOf(kafka)
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const sendFrom = (from: number) =>
    producer.send({
      topic: 'bench',
      acks: -1,
      compression: COMPRESSION[compression],
      messages: messages.slice(from, from + batch)
    })
  // The first one connects to the leader.
  await sendFrom(0)
  const bytesBefore = sockets.sentBytes
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  for (let from = 0; from < messages.length; from += batch) await sendFrom(from)
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const linkBytes = sockets.sentBytes - bytesBefore
  await producer.disconnect()
  return {
    linkBytes: linkBytes / messages.length,
    cpuMicros: (user + system) / messages.length,
    perSecond: messages.length / seconds
  }
}

function summary(rounds: Round[]) {
  const median = (pick: (round: Round) => number) => medianOf(rounds.map(pick))
  return {
    linkBytesPerMessage: Math.round(median(round => round.linkBytes)),
    cpuMicrosPerMessage: Math.round(median(round => round.cpuMicros) * 10) / 10,
    messagesPerSecond: Math.round(median(round => round.perSecond))
  }
}

/** As a gateway with fifty machines sends them. */
function messagesOf(count: number): Message[] {
  const prng = new Prng(SEED)
  const startedAt = Date.now() - count
  const machines = Array.from({ length: DEVICES }, (_, n) => ({
    key: `plant7/pump-${n}`,
    temperature: 40 + 20 * prng.float(),
    pressure: 4 + prng.float()
  }))
  return Array.from({ length: count }, (_, n) => {
    const machine = machines[n % DEVICES]
    machine.temperature += prng.normal() / 10
    machine.pressure += prng.normal() / 100
    const reading = {
      temperature: Math.round(machine.temperature * 100) / 100,
      pressure: Math.round(machine.pressure * 1000) / 1000,
      vibration: [prng.normal(), prng.normal(), prng.normal()].map(v => Math.round(v * 1e4) / 1e4),
      rpm: 1480 + prng.int(20),
      state: 'running',
      firmware: '4.2.1',
      sequence: n,
      timestamp: new Date(startedAt + n).toISOString()
    }
    return {
      key: machine.key,
      value: Buffer.from(JSON.stringify(reading)),
      timestamp: String(startedAt + n),
      headers: {
        [HEADERS.id]: `gateway-7/1-9f2c03d1a7b4e655/${184_467 + n}`,
        [HEADERS.topic]: `telemetry/${machine.key}`,
        [HEADERS.received]: String(startedAt + n),
        [HEADERS.observed]: String(startedAt + n - 3)
      }
    }
  })
}
