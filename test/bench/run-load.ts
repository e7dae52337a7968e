import { spawn } from 'node:child_process'
import path from 'node:path'
import type { LoadResult } from './load.ts'

const LOAD = path.join(import.meta.dirname, 'load.js')
const CONNECTIONS = 50
const WINDOW = 40

export const PAYLOAD_BYTES = 200

export interface LoadPlan {
  port: number
  count: number
  /** Messages a second, all connections together; absent: as many as are acknowledged. */
  rate?: number
  /** Default: 50. */
  connections?: number
  /** Under way of each. Default: 40. */
  window?: number
}

export interface RunningLoad {
  /** Rejects when the agent refuses it, or it takes longer than its limit. */
  readonly ended: Promise<LoadResult>
  /** Ends it early, after what is under way. */
  stop(): Promise<LoadResult>
}

/** A load in a process of its own: 200 bytes, QoS 1. */
export function startLoad(plan: LoadPlan): RunningLoad {
  const { port, count, rate = 0, connections = CONNECTIONS, window = WINDOW } = plan
  const limitMs = 120_000 + (rate ? (count / rate) * 1000 : count / 5)
  const args = [LOAD, port, connections, window, count, rate, PAYLOAD_BYTES].map(String)
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const kill = () => child.kill('SIGKILL')
  const timer = setTimeout(kill, limitMs)
  process.once('exit', kill)
  let output = ''
  child.stdout.setEncoding('utf8').on('data', text => {
    output += text
  })
  const ended = new Promise<LoadResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      clearTimeout(timer)
      process.off('exit', kill)
      if (code === 0) resolve(JSON.parse(output))
      else reject(new Error(`the load ended with ${code ?? 'a signal'}`))
    })
  })
  ended.catch(() => {})
  return {
    ended,
    stop: () => {
      child.kill('SIGTERM')
      return ended
    }
  }
}

export function runLoad(plan: LoadPlan): Promise<LoadResult> {
  return startLoad(plan).ended
}
