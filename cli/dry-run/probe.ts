import type { ConfigPath } from '../../core/runtime/config-findings.ts'

export type ProbeState =
  /** It would work. */
  | 'ok'
  /** It would, and something is to be known. */
  | 'warning'
  | 'failed'
  /** It could not be found out. */
  | 'unknown'

/** What became of one try, a line for a person. */
export interface Probe {
  part: 'mqtt' | 'upstream' | 'kafka' | 'topic' | 'rights' | 'webhook' | 'http' | 'data'
  /** `kafka-1:9093`, `telemetry`, … never a secret. */
  name: string
  state: ProbeState
  /** How long it took, ms. */
  ms: number
  facts: string[]
  /** What is wrong, and what to do about it. */
  problems: string[]
  /** Of the configuration, where there is such a place. */
  path?: ConfigPath
}

/** Collects what is found out about one thing, from its first moment on. */
export class Trial {
  readonly #probe: Omit<Probe, 'ms' | 'state'>
  readonly #startedAt = performance.now()
  #state: ProbeState = 'ok'

  constructor(part: Probe['part'], name: string, path?: ConfigPath) {
    this.#probe = { part, name, facts: [], problems: [], ...(path ? { path } : {}) }
  }

  fact(text: string): void {
    this.#probe.facts.push(text)
  }

  warn(text: string): void {
    if (this.#state === 'ok') this.#state = 'warning'
    this.#probe.problems.push(text)
  }

  fail(text: string): void {
    this.#state = 'failed'
    this.#probe.problems.push(text)
  }

  /** Neither well nor wrong: nobody could say. */
  unknown(text: string): void {
    if (this.#state === 'ok') this.#state = 'unknown'
    this.#probe.problems.push(text)
  }

  get failed(): boolean {
    return this.#state === 'failed'
  }

  end(): Probe {
    const ms = Math.round(performance.now() - this.#startedAt)
    return { ...this.#probe, state: this.#state, ms }
  }
}
