/** A call did not answer in time: whether it took effect is unknown. */
export class UnansweredError extends Error {
  constructor(what: string, ms: number) {
    super(`${what} did not answer within ${ms} ms`)
    this.name = 'UnansweredError'
  }
}

/**
 * Waits for the call no longer than `ms`. The call itself goes on: its outcome is then unknown, and
 * a late rejection is swallowed.
 *
 * @throws {UnansweredError}
 */
export async function withDeadline<T>(what: string, ms: number, call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UnansweredError(what, ms)), ms)
  })
  try {
    return await Promise.race([call, expired])
  } finally {
    clearTimeout(timer)
    call.catch(() => {})
  }
}

/** Waits, or until the signal aborts. Never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done, { once: true })
  })
}
