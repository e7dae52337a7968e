import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../cli/local-kafka.ts'
import { connectBytes, publishBytes } from '../kit/raw-mqtt.ts'
import type { BenchOptions } from './options.ts'
import { cpuSecondsOf, rssMibOf } from './process-usage.ts'
import { medianBy, round2 } from './report.ts'
import { makeScratch } from './scratch.ts'

const ROUNDS = 5
const IDLE_MS = 30_000
const WAIT_MS_MAX = 60_000
const POLL_MS = 2
const ASKED = { pubackMs: 1_000, rssMib: { auto: 110, off: 90 } }

const CONNECT = connectBytes({ clientId: 'bench', keepAliveS: 60 })
const PUBLISH = publishBytes({ topic: 'telemetry/p/d', payload: '{"t":1}', qos: 1 })

interface Start {
  pubackMs: number
  /** Of all threads, until then. */
  cpuMs: number
  rssMib: number
}

/**
 * From the spawn of an agent on an empty directory, Kafka away, detector on, to its first PUBACK, and
 * what it keeps in memory when it has nothing to do; in both thread modes, beside a process that has
 * only aedes: less no broker on Node.js can have.
 */
export async function benchStartUp(options: BenchOptions): Promise<unknown> {
  const rounds = options.rounds ?? ROUNDS
  const idleMs = IDLE_MS * Math.min(1, options.scale)
  const found: Record<string, Start[]> = { auto: [], off: [], bare: [] }
  for (let round = 0; round < rounds; round++) {
    for (const threads of ['auto', 'off']) {
      found[threads].push(await startOne(port => agentArgs(port, threads), idleMs))
    }
    found.bare.push(await startOne(port => bareArgs(port), idleMs))
  }
  const summary = Object.fromEntries(
    Object.entries(found).map(([name, starts]) => [
      name,
      {
        pubackMs: medianBy(starts, start => start.pubackMs),
        pubackMsMax: round2(Math.max(...starts.map(start => start.pubackMs))),
        cpuMs: medianBy(starts, start => start.cpuMs),
        rssMib: medianBy(starts, start => start.rssMib)
      }
    ])
  )
  return {
    benchmark: 'start-up',
    ...{ rounds, idleSeconds: idleMs / 1000, loadAverage: round2(os.loadavg()[0]) },
    ...summary,
    ratio: { pubackMs: round2(summary.auto.pubackMs / summary.bare.pubackMs) },
    asked: ASKED
  }
}

function agentArgs(port: number, threads: string) {
  const scratch = makeScratch('start-up')
  const config = path.join(scratch.directory, 'fieldline.yaml')
  fs.writeFileSync(config, `agent: { threads: ${threads} }\n`)
  return {
    scratch,
    args: [
      ...[path.join(import.meta.dirname, '../../cli/main.js'), 'agent', '-c', config],
      ...['--kafka', '127.0.0.1:1', '--listen', `127.0.0.1:${port}`, '--http', '127.0.0.1:0'],
      ...['--data', path.join(scratch.directory, 'data')]
    ]
  }
}

function bareArgs(port: number) {
  const broker = path.join(import.meta.dirname, 'plain-broker.js')
  return { scratch: makeScratch('bare'), args: [broker, String(port)] }
}

async function startOne(
  argsOf: (port: number) => ReturnType<typeof agentArgs | typeof bareArgs>,
  idleMs: number
): Promise<Start> {
  const port = await freePort()
  const { scratch, args } = argsOf(port)
  const from = performance.now()
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const killWithUs = () => child.kill('SIGKILL')
  process.prependOnceListener('exit', killWithUs)
  try {
    await firstPuback(port, child)
    const pubackMs = performance.now() - from
    const cpuMs = cpuSecondsOf(child.pid!) * 1000
    await pause(idleMs)
    return { pubackMs, cpuMs, rssMib: rssMibOf(child.pid!) }
  } finally {
    const ended = new Promise(resolve => child.once('exit', resolve))
    if (child.exitCode === null && child.kill('SIGTERM')) await ended
    process.off('exit', killWithUs)
    scratch.remove()
  }
}

async function firstPuback(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX
  while (performance.now() < deadline) {
    if (await acknowledges(port)) return
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    await pause(POLL_MS)
  }
  throw new Error(`no PUBACK within ${WAIT_MS_MAX} ms`)
}

/** @returns false while nobody listens. */
function acknowledges(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(CONNECT))
    const settle = (acknowledged: boolean) => {
      socket.destroy()
      resolve(acknowledged)
    }
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
    socket.on('data', bytes => {
      const kind = bytes[0] >> 4
      if (kind === 2) socket.write(PUBLISH)
      else if (kind === 4) settle(true)
    })
  })
}
