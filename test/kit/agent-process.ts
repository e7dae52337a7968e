import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { freePort } from '../../cli/local-kafka.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'

/** An agent of the built files, with a data directory of its own. Remove it in the end. */
export class TestAgent {
  readonly directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fieldline-agent-'))
  readonly #config: string
  readonly #environment: Readonly<Record<string, string>>
  readonly #node: readonly string[]
  #mqttPort = 0
  #httpPort = 0
  #child: ChildProcess | undefined

  /**
   * @param config YAML; addresses are given by flags.
   * @param environment Beside this process's own.
   * @param node Runs it: this process's Node.js, or another.
   */
  constructor(
    config: string,
    environment: Readonly<Record<string, string>> = {},
    node: readonly string[] = [process.execPath]
  ) {
    this.#environment = environment
    this.#node = node
    this.#config = path.join(this.directory, 'fieldline.yaml')
    fs.writeFileSync(this.#config, config)
  }

  get mqttPort(): number {
    return this.#mqttPort
  }

  /** Of its pages. */
  get url(): string {
    return `http://127.0.0.1:${this.#httpPort}`
  }

  /** Resolves once it accepts readings. */
  async start(kafka: string, ...flags: string[]): Promise<void> {
    this.#mqttPort ||= await freePort()
    this.#httpPort ||= await freePort()
    const log = fs.openSync(path.join(this.directory, 'agent.log'), 'a')
    const child = spawn(
      this.#node[0],
      [
        ...this.#node.slice(1),
        path.join(process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'), 'cli/main.js'),
        ...['agent', '-c', this.#config, '--kafka', kafka, '--data', `${this.directory}/data`],
        ...['--listen', `127.0.0.1:${this.#mqttPort}`, '--http', `127.0.0.1:${this.#httpPort}`],
        ...flags
      ],
      { stdio: ['ignore', 'ignore', log], env: { ...process.env, ...this.#environment } }
    )
    fs.closeSync(log)
    this.#child = child
    const killWithUs = () => child.kill('SIGKILL')
    process.once('exit', killWithUs)
    child.once('exit', () => process.off('exit', killWithUs))
    const ended = new Promise<never>((_, reject) => {
      child.once('exit', code => reject(new Error(`the agent ended with ${code}:\n${this.log()}`)))
    })
    ended.catch(() => {})
    await Promise.race([this.until(status => status.ready), ended])
  }

  /** Writes another configuration, if one is given, and has it read. */
  reload(config?: string): void {
    if (config !== undefined) fs.writeFileSync(this.#config, config)
    this.#child?.kill('SIGHUP')
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** @returns Its exit code. */
  stop(): Promise<number | null> {
    return this.#end('SIGTERM')
  }

  /** Stops it, if it runs, and removes its files. */
  async remove(): Promise<void> {
    await this.kill()
    fs.rmSync(this.directory, { recursive: true, force: true })
  }

  // biome-ignore lint/suspicious/noExplicitAny: a page for people and scripts, looked at here and there
  async status(): Promise<any> {
    return (await this.page('/status')).json()
  }

  page(name: string): Promise<Response> {
    return fetch(`${this.url}${name}`)
  }

  /** Polls the status page, since nothing tells when it changes. */
  // biome-ignore lint/suspicious/noExplicitAny: see status
  async until(holds: (status: any) => boolean, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    let last = 'no answer'
    while (performance.now() < deadline) {
      try {
        const status = await this.status()
        if (holds(status)) return
        last = JSON.stringify(status)
      } catch {
        // Not listening yet.
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    throw new Error(`not within ${timeoutMs} ms; last status: ${last}`)
  }

  log(): string {
    return fs.readFileSync(path.join(this.directory, 'agent.log'), 'utf8')
  }

  #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child
    this.#child = undefined
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve(null)
    return new Promise(resolve => {
      child.once('exit', resolve)
      child.kill(signal)
    })
  }
}
