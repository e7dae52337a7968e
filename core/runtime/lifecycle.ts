/** What of `process` is needed here; a test passes its own. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown
  off(signal: 'SIGINT' | 'SIGTERM' | 'SIGHUP', listener: () => void): unknown
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

let endEarly: (() => void) | undefined

/**
 * Stops gracefully at the first SIGINT or SIGTERM, hard at the second; a third has the system's
 * own effect and ends the process.
 *
 * @param stop Called with `hard = false`, then perhaps, while that still runs, with `hard = true`.
 *   A rejection is left unhandled on purpose: the command line reports it and exits with 1.
 * @returns Takes the listeners away again.
 */
export function onStopSignals(
  stop: (hard: boolean) => Promise<void>,
  source: SignalSource = process
): () => void {
  let received = 0
  const listener = (): void => {
    received++
    if (received === 2) dispose()
    void stop(received > 1)
  }
  const dispose = (): void => {
    for (const signal of SIGNALS) source.off(signal, listener)
  }
  for (const signal of SIGNALS) source.on(signal, listener)
  endEarly?.()
  return dispose
}

/**
 * For a command that runs until it is stopped, while its modules are loaded: nothing is open yet, so
 * SIGINT and SIGTERM end the process in order, and SIGHUP is no reason to die. `onStopSignals` takes over.
 */
export function heedSignalsEarly(
  exit: () => void = () => process.exit(0),
  source: SignalSource = process
): void {
  const ignore = (): void => {}
  for (const signal of SIGNALS) source.on(signal, exit)
  source.on('SIGHUP', ignore)
  endEarly = () => {
    endEarly = undefined
    for (const signal of SIGNALS) source.off(signal, exit)
  }
}

/**
 * @param reload Called at each SIGHUP. A rejection is left unhandled on purpose, as that of a stop.
 * @returns Takes the listener away again.
 */
export function onReloadSignal(
  reload: () => Promise<void>,
  source: SignalSource = process
): () => void {
  const listener = (): void => void reload()
  source.on('SIGHUP', listener)
  return () => source.off('SIGHUP', listener)
}

/**
 * The signals of a process from its first line on: what comes while it starts is kept until there is
 * somebody to answer it. A second signal to stop ends it at once, whenever.
 */
export class RunSignals {
  /** Takes the listeners away again. */
  readonly dispose: () => void
  #stop: (() => Promise<void>) | undefined
  #reload: (() => Promise<void>) | undefined
  #stopAsked = false
  #reloadAsked = false

  constructor(source: SignalSource = process, exit: (code: number) => void = process.exit) {
    const disposeStop = onStopSignals(async hard => {
      if (hard) return exit(1)
      this.#stopAsked = true
      await this.#stop?.()
    }, source)
    const disposeReload = onReloadSignal(async () => {
      this.#reloadAsked = true
      await this.#reload?.()
    }, source)
    this.dispose = () => {
      disposeStop()
      disposeReload()
    }
  }

  /** To be looked at between the steps of a start. */
  get stopAsked(): boolean {
    return this.#stopAsked
  }

  /** The start is over. */
  answer(stop: () => Promise<void>, reload: () => Promise<void>): void {
    this.#stop = stop
    this.#reload = reload
    if (this.#stopAsked) void stop()
    else if (this.#reloadAsked) void reload()
  }
}
