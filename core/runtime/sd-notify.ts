import { type ChildProcess, spawn } from 'node:child_process'
import { messageOf } from './errors.ts'
import type { Logger } from './log.ts'

export interface SupervisorOptions {
  /** Where systemd says where it listens, and how patient its watchdog is. Default: the process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The watchdog may be meant for another process. Default: this one's. */
  readonly pid?: number
  readonly logger: Logger
}

/**
 * Node.js has no unix datagrams, so `systemd-notify` sends them. A shell between spares this process
 * the fork: it is some hundred KiB where we may be hundreds of MiB, and it ends with its input.
 */
const RELAY = `tab=$(printf '\\t')
while IFS="$tab" read -r first second; do
  systemd-notify "$first" \${second:+"$second"} || exit
done`

/** Pings within the time that the watchdog grants: one may be late, one may be lost. */
const PINGS = 3

/**
 * What this process tells systemd (sd_notify(3)): ready, alive, stopping. Nothing is ever waited
 * for: a supervisor that does not listen keeps nobody from working.
 *
 * Bound: one line in flight. A ping that finds the one before unread is left out.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #env: Readonly<Record<string, string | undefined>>
  #relay: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #warned = false
  #stopping = false
  #closed = false

  /** @returns undefined where nobody supervises: there is no NOTIFY_SOCKET. */
  static open(options: SupervisorOptions): Supervisor | undefined {
    const env = options.env ?? process.env
    return env.NOTIFY_SOCKET ? new Supervisor(options, env) : undefined
  }

  private constructor(
    options: SupervisorOptions,
    env: Readonly<Record<string, string | undefined>>
  ) {
    this.#options = options
    this.#env = env
  }

  /** Between two pings, ms; undefined when there is no watchdog, or it watches another process. */
  get pingIntervalMs(): number | undefined {
    const { WATCHDOG_USEC, WATCHDOG_PID } = this.#env
    const grantedMs = Number(WATCHDOG_USEC) / 1000
    const ours = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === this.pid
    return grantedMs > 0 && ours ? Math.max(1, Math.floor(grantedMs / PINGS)) : undefined
  }

  private get pid(): number {
    return this.#options.pid ?? process.pid
  }

  /**
   * Says that the start is over, and from then on that the process lives, as long as it does.
   *
   * @param alive Asked on the event loop before every ping: while it says no, none is sent, and
   *   systemd restarts the process in the end. Kafka being away is no reason to say no.
   * @param status One line for `systemctl status`.
   */
  ready(alive: () => boolean, status: () => string): void {
    this.#send('READY=1', `STATUS=${oneLine(status())}`)
    const intervalMs = this.pingIntervalMs
    if (intervalMs === undefined) return
    const ping = () => {
      if (this.#stopping || alive()) this.#send('WATCHDOG=1', `STATUS=${oneLine(status())}`)
    }
    this.#timer = setInterval(ping, intervalMs).unref()
  }

  /** The configuration is being read again: `reloaded` says that this is over. */
  reloading(): void {
    this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`)
  }

  /** @param status One line for `systemctl status`. */
  reloaded(status: string): void {
    this.#send('READY=1', `STATUS=${oneLine(status)}`)
  }

  /** Pings go on, whether alive or not. @param longestMs The stop may take so long. */
  stopping(longestMs: number): void {
    this.#stopping = true
    this.#send('STOPPING=1', `EXTEND_TIMEOUT_USEC=${Math.ceil(longestMs * 1000)}`)
  }

  /** Nothing is said any more; what was said last still goes out. */
  close(): void {
    clearInterval(this.#timer)
    this.#closed = true
    this.#relay?.stdin?.end()
  }

  #send(first: string, second: string): void {
    if (this.#closed) return
    this.#relay ??= this.#start()
    const { stdin } = this.#relay
    if (!stdin?.writable) return
    // Only pings may be left out, and there is always a next one.
    if (stdin.writableLength > 0 && first === 'WATCHDOG=1') return
    stdin.write(`${first}\t${second}\n`)
  }

  #start(): ChildProcess {
    const relay = spawn('/bin/sh', ['-c', RELAY], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { ...process.env, NOTIFY_SOCKET: this.#env.NOTIFY_SOCKET }
    })
    const gone = (why: string) => {
      // The next line starts another.
      if (this.#relay === relay) this.#relay = undefined
      if (!this.#closed) this.#warn(why)
    }
    relay.on('error', error => gone(messageOf(error)))
    relay.on('exit', (code, signal) => gone(`systemd-notify ended with ${code ?? signal}`))
    relay.stdin?.on('error', error => gone(messageOf(error)))
    relay.unref()
    return relay
  }

  /** Once: the next one is as likely to fail as this. */
  #warn(why: string): void {
    if (this.#warned) return
    this.#warned = true
    this.#options.logger.warn(
      { event: 'supervisor.unheard', why },
      'systemd cannot be told that this process is ready and alive: is systemd-notify installed, and NotifyAccess=all in the unit?'
    )
  }
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ')
}
