/** When what happens, in ms since the fleet began, where not said otherwise. */
export interface Timeline {
  /** Messages a second, all devices together. */
  rate: number
  /** No fault before: the detector learns what is usual. */
  learnMs: number
  /** Kafka stops. */
  outageAtMs: number
  /** How long Kafka is stopped; its start takes some seconds more. */
  outageMs: number
  /** Between the end of the drain and the agent's death. */
  restMs: number
  /** The agent dies now, even if the drain is not over. */
  killAtMsMax: number
  /** How long the agent stays dead. */
  deadMs: number
  /** The fleet takes its last reading. */
  endMs: number
  /** Of all, for the clock in the corner. */
  totalMs: number
}

export const DEVICES = 100

export const FULL: Timeline = {
  rate: 250,
  learnMs: 20_000,
  outageAtMs: 31_000,
  outageMs: 15_000,
  restMs: 3_000,
  killAtMsMax: 64_000,
  deadMs: 1_000,
  endMs: 72_000,
  totalMs: 90_000
}

/** The same story, told to tests. */
export const FAST: Timeline = {
  rate: 300,
  learnMs: 11_000,
  outageAtMs: 13_000,
  outageMs: 4_000,
  restMs: 1_500,
  killAtMsMax: 31_000,
  deadMs: 500,
  endMs: 37_000,
  totalMs: 50_000
}
