import { execFile, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort, startLocalKafka } from '../../cli/local-kafka.ts'
import type { LoadResult } from './load.ts'
import { fileSystemOf, medianOf } from './report.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const MAIN = path.join(here, '../../cli/main.js')
const LOAD = path.join(here, 'load.js')
const PAYLOAD_BYTES = 200
const ROUNDS = 3

interface PathRun {
  at1k: LoadResult['pubackMs']
  at10k: LoadResult['pubackMs']
  max: LoadResult
  /** From the first publish of the last load to the last record acknowledged by Kafka. */
  toKafkaPerSecond: number
  rssMib: number
  cpuMicrosPerMessage: number
}

/**
 * MQTT QoS 1 → log → Kafka, acknowledged both ways: the product, PUBACK after the sync, beside the
 * same path with PUBACK before it (`log.sync: interval`), in turn, in one run.
 */
export async function benchPath(): Promise<unknown> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-bench-'))
  const kafka = await startLocalKafka({ port: 0, dataDir: path.join(directory, 'kafka') })
  try {
    const synced: PathRun[] = []
    const unsynced: PathRun[] = []
    for (let round = 0; round < ROUNDS; round++) {
      synced.push(await runPath(kafka.address, path.join(directory, `g${round}`), 'group'))
      unsynced.push(await runPath(kafka.address, path.join(directory, `i${round}`), 'interval'))
    }
    const product = summary(synced)
    const baseline = summary(unsynced)
    return {
      benchmark: 'mqtt-qos1-to-kafka',
      payloadBytes: PAYLOAD_BYTES,
      rounds: ROUNDS,
      fileSystem: fileSystemOf(directory),
      pubackAfterSync: product,
      pubackBeforeSync: baseline,
      ratio: {
        maxPerSecond: ratio(product.maxPerSecond, baseline.maxPerSecond),
        toKafkaPerSecond: ratio(product.toKafkaPerSecond, baseline.toKafkaPerSecond)
      }
    }
  } finally {
    await kafka.stop()
    fs.rmSync(directory, { recursive: true, force: true })
  }
}

async function runPath(kafka: string, data: string, sync: string): Promise<PathRun> {
  const [mqttPort, httpPort] = [await freePort(), await freePort()]
  fs.mkdirSync(data)
  const config = path.join(data, 'fieldline.yaml')
  fs.writeFileSync(
    config,
    `kafka: { create_topics: true }\nlog: { sync: ${sync} }\ndetector: { enabled: false }\nlogging: { level: warn }\n`
  )
  const args = ['agent', '-c', config, '--kafka', kafka, '--data', path.join(data, 'agent')]
  const ports = ['--listen', `127.0.0.1:${mqttPort}`, '--http', `127.0.0.1:${httpPort}`]
  const agent = spawn(process.execPath, [MAIN, ...args, ...ports], { stdio: ['ignore', 2, 2] })
  try {
    await backlogIs0(httpPort)
    const at1k = (await load(mqttPort, 10_000, 1_000)).pubackMs
    const at10k = (await load(mqttPort, 100_000, 10_000)).pubackMs
    await backlogIs0(httpPort)
    const cpuBefore = cpuSeconds(agent.pid!)
    const from = performance.now()
    const max = await load(mqttPort, 300_000, 0)
    await backlogIs0(httpPort)
    const seconds = (performance.now() - from) / 1000
    return {
      at1k,
      at10k,
      max,
      toKafkaPerSecond: Math.round(max.acknowledged / seconds),
      rssMib: rssMib(agent.pid!),
      cpuMicrosPerMessage: ((cpuSeconds(agent.pid!) - cpuBefore) * 1e6) / max.acknowledged
    }
  } finally {
    const ended = new Promise(resolve => agent.once('exit', resolve))
    agent.kill('SIGTERM')
    await ended
  }
}

async function load(port: number, count: number, rate: number): Promise<LoadResult> {
  const args = [LOAD, port, 50, 40, count, rate, PAYLOAD_BYTES].map(String)
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 })
  return JSON.parse(stdout)
}

/** The agent answers and Kafka has everything: polled, since nothing tells it. */
async function backlogIs0(httpPort: number): Promise<void> {
  const deadline = performance.now() + 120_000
  while (performance.now() < deadline) {
    try {
      const response = await fetch(`http://127.0.0.1:${httpPort}/status`)
      const { lanes } = (await response.json()) as {
        lanes: { telemetry: { state: string; backlogRecords: number } }
      }
      if (lanes.telemetry.backlogRecords === 0 && lanes.telemetry.state === 'streaming') return
    } catch {
      // Not listening yet.
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error('the agent did not deliver its backlog within 2 minutes')
}

/** User and system time of a process, s. Linux counts in hundredths. */
function cpuSeconds(pid: number): number {
  const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

function rssMib(pid: number): number {
  const pages = Number(fs.readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1])
  return Math.round((pages * 4096) / (1 << 20))
}

function summary(runs: PathRun[]) {
  const p99 = (pick: (run: PathRun) => LoadResult['pubackMs']) => ({
    p50: medianOf(runs.map(run => pick(run).p50)),
    p99: medianOf(runs.map(run => pick(run).p99))
  })
  return {
    pubackMsAt1k: p99(run => run.at1k),
    pubackMsAt10k: p99(run => run.at10k),
    pubackMsAtMax: p99(run => run.max.pubackMs),
    maxPerSecond: medianOf(runs.map(run => run.max.perSecond)),
    toKafkaPerSecond: medianOf(runs.map(run => run.toKafkaPerSecond)),
    cpuMicrosPerMessage: medianOf(runs.map(run => Math.round(run.cpuMicrosPerMessage * 10) / 10)),
    rssMib: medianOf(runs.map(run => run.rssMib))
  }
}

function ratio(a: number, b: number): number {
  return Math.round((a / b) * 100) / 100
}
