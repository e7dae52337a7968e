import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startMarkOf } from '../local-kafka-process.ts'
import { AGENT_IDENTITY, AGENT_LOG } from './places.ts'

export interface AgentProcessOptions {
  /** For its log file and process id. */
  directory: string
  /** Of `fieldline agent`. */
  args: readonly string[]
  /** It ended though nobody asked. */
  onUnexpectedEnd: (how: string) => void
}

/** Built, both are `.js`; a child process of Node 20 can load nothing else. */
const MAIN = fileURLToPath(new URL('../main.js', import.meta.url))

/** The agent as a process of its own, so that it can be killed like one. */
export class AgentProcess {
  readonly #options: AgentProcessOptions
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #asked = false

  constructor(options: AgentProcessOptions) {
    this.#options = options
  }

  /** 0 while none runs. */
  get pid(): number {
    return this.#child?.pid ?? 0
  }

  start(): void {
    const { directory, args, onUnexpectedEnd } = this.#options
    const log = openSync(join(directory, AGENT_LOG), 'a')
    // A group of its own: Ctrl-C is for the demo, which then stops the agent in order.
    const child = spawn(process.execPath, [MAIN, 'agent', ...args], {
      detached: true,
      stdio: ['ignore', 'ignore', log]
    })
    closeSync(log)
    this.#child = child
    this.#asked = false
    this.#ended = new Promise(resolve => {
      const end = (how: string): void => {
        if (this.#child === child) this.#child = undefined
        if (!this.#asked) onUnexpectedEnd(how)
        resolve()
      }
      child.once('error', error => end(error.message))
      child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`))
    })
    if (child.pid !== undefined) {
      const identity = { pid: child.pid, startMark: startMarkOf(child.pid) }
      writeFileSync(join(directory, AGENT_IDENTITY), JSON.stringify(identity))
    }
  }

  /** What a power cut does to it. */
  async kill(): Promise<void> {
    this.#asked = true
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** @returns Whether it stopped in order within the limit; killed otherwise. */
  async stop(limitMs: number): Promise<boolean> {
    this.#asked = true
    const child = this.#child
    let orderly = true
    const timer = setTimeout(() => {
      orderly = false
      child?.kill('SIGKILL')
    }, limitMs)
    child?.kill('SIGTERM')
    await this.#ended
    clearTimeout(timer)
    return orderly
  }

  lastLines(count: number): string[] {
    try {
      const text = readFileSync(join(this.#options.directory, AGENT_LOG), 'utf8')
      return text.trimEnd().split('\n').slice(-count)
    } catch {
      return []
    }
  }
}
