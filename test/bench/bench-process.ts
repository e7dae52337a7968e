import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'

const READY_MS_MAX = 60_000

/** A script of this directory in a process of its own. */
export interface BenchProcess {
  readonly pid: number
  stop(): Promise<void>
}

/** Resolves once it has said `ready`. */
export async function startBenchProcess(
  script: string,
  ...args: readonly (string | number)[]
): Promise<BenchProcess> {
  const file = path.join(import.meta.dirname, `${script}.js`)
  const child = spawn(process.execPath, [file, ...args.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  ended.then(() => process.off('exit', kill))
  await ready(child, script)
  return {
    pid: child.pid as number,
    stop: () => {
      kill()
      return ended
    }
  }
}

function ready(child: ChildProcess, script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`${script} was not ready within ${READY_MS_MAX} ms`))
    }, READY_MS_MAX)
    child.stdout?.once('data', () => {
      clearTimeout(timer)
      resolve()
    })
    child.once('exit', code => {
      clearTimeout(timer)
      reject(new Error(`${script} ended with ${code}`))
    })
  })
}
