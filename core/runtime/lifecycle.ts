/** What of `process` is needed here; a test passes its own. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  off(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
}

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

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
  return dispose
}
