import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../../cli/local-kafka.ts'
import type { Admin, Producer } from '../../core/kafka/client.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { CentralDetector } from '../../detector/central-detector.ts'
import type { DetectorReading } from '../../detector/detector.ts'
import { detectorConfig, eventfulReadings } from '../detector/kit.ts'
import {
  createTopic,
  type OwnKafka,
  readTopic,
  startOwnKafka,
  type TopicRecord,
  testClient,
  useOwnKafka
} from '../kit/kafka.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/** How long it is disturbed: more than the gate's time by `FIELDLINE_DISTURBED_SECONDS=600`. */
const SECONDS = Number(process.env.FIELDLINE_DISTURBED_SECONDS ?? 40)
const SEED = Number(process.env.FIELDLINE_SEED ?? 1106)
const GROUP = 'fleet-detector'
const STATE = 'fieldline.detector-state'
const PARTITIONS = 6
const READINGS_A_SECOND = 300
const INSTANCES_MAX = 4
/** Longer than a member may be silent: its partitions are given away meanwhile. */
const FROZEN_MS = 13_000

let kafka: OwnKafka
useOwnKafka(async () => {
  kafka = await startOwnKafka({ heapMb: 384 })
  return kafka
})

/** `fieldline detector` as built, in a process of its own. */
class Instance {
  readonly #child: ChildProcess
  readonly ended: Promise<void>
  readonly httpPort: number
  frozen = false

  static async start(directory: string, number: number): Promise<Instance> {
    return new Instance(directory, number, await freePort())
  }

  private constructor(directory: string, number: number, httpPort: number) {
    this.httpPort = httpPort
    const dist = process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist')
    const log = fs.openSync(path.join(directory, `detector-${number}.log`), 'a')
    const config = path.join(directory, 'fieldline.yaml')
    this.#child = spawn(
      process.execPath,
      [
        ...[path.join(dist, 'cli/main.js'), 'detector', '-c', config],
        ...['--http', `127.0.0.1:${httpPort}`]
      ],
      { stdio: ['ignore', 'ignore', log] }
    )
    fs.closeSync(log)
    const killWithUs = () => this.#child.kill('SIGKILL')
    process.once('exit', killWithUs)
    this.ended = new Promise(resolve => {
      this.#child.once('exit', () => {
        process.off('exit', killWithUs)
        resolve()
      })
    })
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#child.kill(signal)
    await this.ended
  }

  async freeze(ms: number): Promise<void> {
    this.frozen = true
    this.#child.kill('SIGSTOP')
    await new Promise(resolve => setTimeout(resolve, ms))
    this.#child.kill('SIGCONT')
    this.frozen = false
  }

  async page(name: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.httpPort}${name}`)).text()
  }
}

function configText(address: string, topics: Topics): string {
  return `
kafka: { brokers: [${address}] }
uplink: { alert_topic: ${topics.alerts}, dead_letter_topic: ${topics.deadLetters} }
detector:
  scope: central
  group: ${GROUP}
  topics: [${topics.telemetry}]
  snapshot_interval: 1s
routes:
  - { name: default, match: 'telemetry/{site}/{device}', topic: ${topics.telemetry} }
logging: { level: debug }
`
}

interface Topics {
  telemetry: string
  alerts: string
  deadLetters: string
  state: string
}

/** One poison record among so many. */
const POISON_EVERY = 97

async function produce(
  producer: Producer,
  topic: string,
  readings: readonly DetectorReading[]
): Promise<void> {
  const messages = readings.map(({ eventId, site, device, at, receivedAt, values, offset }) => ({
    key: `${site}/${device}`,
    value:
      offset % POISON_EVERY === 0
        ? `broken ${offset}`
        : JSON.stringify(Object.fromEntries(values.map(v => [v.metric, v.value]))),
    timestamp: String(at),
    headers: {
      'fl-id': eventId,
      'fl-topic': `telemetry/${site}/${device}`,
      'fl-received': String(receivedAt)
    }
  }))
  for (;;) {
    try {
      await producer.send({ topic, acks: -1, messages })
      return
    } catch {
      // The broker is away; the same again takes the same sequences.
      await new Promise(resolve => setTimeout(resolve, 300))
    }
  }
}

async function committed(admin: Admin, topic: string): Promise<number> {
  const [{ partitions }] = await admin.fetchOffsets({ groupId: GROUP, topics: [topic] })
  return partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0)
}

/** Polls, since nothing tells; asks Kafka, which may be away. */
async function until(what: string, ms: number, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await holds().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

/** What consumers see: by key, in order. */
function byKey(records: readonly TopicRecord[]): Record<string, string[]> {
  const keys: Record<string, string[]> = {}
  for (const { key, value, headers } of records) {
    const list = keys[key ?? ''] ?? []
    keys[key ?? ''] = list
    list.push(`${JSON.stringify(headers)} ${value}`)
  }
  return Object.fromEntries(Object.entries(keys).sort(([a], [b]) => (a < b ? -1 : 1)))
}

type Disturbance = 'kill' | 'stop' | 'join' | 'freeze' | 'broker'

const ROUND: readonly Disturbance[] = ['kill', 'kill', 'stop', 'join', 'freeze', 'broker']

/** All kinds in turn, in an order of chance. */
function* disturbances(prng: Prng): Generator<Disturbance> {
  for (;;) {
    const round = [...ROUND]
    while (round.length > 0) yield round.splice(prng.int(round.length), 1)[0]
  }
}

test(
  `detectors that are killed, frozen, stopped and joined, and a broker that is killed, leave the alerts of an undisturbed run (seed ${SEED})`,
  async () => {
    const prng = new Prng(SEED)
    const admin = testClient([kafka.address]).admin()
    await admin.connect()
    const topics: Topics = {
      ...{ telemetry: 'telemetry', alerts: 'alerts', deadLetters: 'letters', state: STATE }
    }
    const quiet = {
      ...topics,
      alerts: 'alerts.quiet',
      deadLetters: 'letters.quiet',
      state: 'state'
    }
    for (const topic of [topics.telemetry, topics.state, quiet.state]) {
      await createTopic(admin, topic, { numPartitions: PARTITIONS })
    }
    for (const topic of [topics.alerts, topics.deadLetters, quiet.alerts, quiet.deadLetters]) {
      await createTopic(admin, topic, { numPartitions: 3 })
    }
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'fieldline.yaml'), configText(kafka.address, topics))

    const total = SECONDS * READINGS_A_SECOND
    const readings = eventfulReadings(SEED, total, 24)
    const producer = testClient([kafka.address]).producer({
      ...{ idempotent: true, maxInFlightRequests: 1 }
    })
    await producer.connect()
    const startedAt = performance.now()
    const producing = (async () => {
      for (let at = 0; at < total; at += 60) {
        await produce(producer, topics.telemetry, readings.slice(at, at + 60))
        const dueMs = (at / READINGS_A_SECOND) * 1000 - (performance.now() - startedAt)
        if (dueMs > 0) await new Promise(resolve => setTimeout(resolve, dueMs))
      }
    })()

    let instances: Instance[] = []
    let started = 0
    const join = async () => {
      instances.push(await Instance.start(directory, started++))
    }
    const happened: string[] = []
    const freezing: Promise<void>[] = []
    try {
      await join()
      await join()
      for (const kind of disturbances(prng)) {
        await new Promise(resolve => setTimeout(resolve, 1000 + prng.int(3000)))
        const isOver = performance.now() - startedAt > SECONDS * 1000
        if (isOver && happened.length >= ROUND.length) break
        instances = instances.filter(instance => instance.alive)
        const awake = instances.filter(({ frozen }) => !frozen)
        const victim = awake[prng.int(awake.length)]
        happened.push(kind)
        if (kind === 'broker') await kafka.restart()
        else if (kind === 'join' && instances.length < INSTANCES_MAX) await join()
        else if (kind === 'freeze') freezing.push(victim.freeze(FROZEN_MS))
        else if (kind === 'kill' || kind === 'stop') {
          await victim.end(kind === 'kill' ? 'SIGKILL' : 'SIGTERM')
          await join()
        }
      }
      await producing
      await Promise.all(freezing)
      await until('all read', 60_000, async () => {
        return (await committed(admin, topics.telemetry)) === total
      })
      instances = instances.filter(instance => instance.alive)
      const pages = await Promise.all(instances.map(instance => instance.page('/metrics')))
      for (const page of pages) {
        expect(page).toMatch(/^fieldline_detector_lag_records 0$/m)
        expect(page).not.toMatch(/^fieldline_detector_\w+\{.*(telemetry|partition=)/m)
      }
      expect(pages.join('\n')).toMatch(/^fieldline_detector_watermark_seconds \d+/m)
      const statuses = await Promise.all(instances.map(instance => instance.page('/status')))
      const places = statuses.flatMap(status => JSON.parse(status).partitions)
      expect(places).toHaveLength(PARTITIONS)
    } finally {
      await Promise.all(instances.map(instance => instance.end('SIGTERM')))
      await producer.disconnect()
    }

    // The same group, since alerts name it; its offsets are forgotten.
    await until('the group is empty', 30_000, async () => {
      await admin.deleteGroups([GROUP])
      return true
    })
    const { telemetry, ...written } = quiet
    const undisturbed = new CentralDetector({
      config: detectorConfig({
        ...{ scope: 'central', group: GROUP, topics: [telemetry], seriesMax: 100_000 },
        ...{ seriesTtlMs: 30 * 86_400_000 }
      }),
      kafka: () => testClient([kafka.address]),
      topics: written,
      routes: [
        {
          ...{ name: 'default', match: ['telemetry/{site}/{device}'], site: undefined },
          ...{ topic: telemetry, codec: 'json', value: 'payload', fields: undefined }
        }
      ],
      logger: silentLogger
    })
    const abort = new AbortController()
    const running = undisturbed.run(abort.signal)
    await until('all read again', 60_000, async () => {
      return (await committed(admin, telemetry)) === total
    })
    abort.abort()
    await running
    expect(undisturbed.counters()).toMatchObject({ reopened: 0, duplicates: 0 })

    const read = (topic: string) => readTopic([kafka.address], topic)
    const expected = byKey(await read(quiet.alerts))
    expect(Object.values(expected).flat().length).toBeGreaterThan(SECONDS)
    expect(byKey(await read(topics.alerts))).toEqual(expected)
    expect(byKey(await read(topics.deadLetters))).toEqual(byKey(await read(quiet.deadLetters)))
    expect(new Set(happened)).toEqual(new Set(ROUND))
    await admin.disconnect()
  },
  (SECONDS + 240) * 1000
)
