import type { LinkState } from '../kit/link-proxy.ts'
import type { Stage } from './stage.ts'

export const OUTAGE_KINDS = [
  'refused',
  'reset',
  'black hole',
  'forgotten',
  'half open',
  'slow',
  'flapping',
  'names',
  'advertised'
] as const

export type OutageKind = (typeof OUTAGE_KINDS)[number]

/** Longest time from the network's return to the first record in Kafka. */
export const RECOVERY_MS_MAX: Readonly<Record<OutageKind, number>> = {
  refused: 5_000,
  reset: 5_000,
  'black hole': 15_000,
  forgotten: 15_000,
  'half open': 15_000,
  slow: 5_000,
  flapping: 5_000,
  names: 5_000,
  advertised: 5_000
}

const SLOW_BYTES_PER_SECOND = 1_000
const FLAP_MS = 2_000

const STATES: Partial<Record<OutageKind, LinkState>> = {
  refused: { kind: 'refused' },
  reset: { kind: 'reset' },
  'black hole': { kind: 'black_hole' },
  forgotten: { kind: 'black_hole', forget: true },
  'half open': { kind: 'half_open' },
  slow: { kind: 'open', bytesPerSecond: SLOW_BYTES_PER_SECOND }
}

/**
 * Begins an outage.
 *
 * - `black hole`: packets vanish; at the end connections go on, those too that were tried in it.
 * - `forgotten`: the same, but none of them goes on, and nobody is told.
 * - `half open`: the broker's side of connections is closed, the agent is never told.
 * - `slow`: 1 kB/s, all connections together.
 * - `flapping`: refused for 2 s, open for 2 s, and so on.
 * - `names`: connections are cut once, and the broker's name no longer resolves.
 * - `advertised`: connections are cut; the address that agents are started with answers, the one that
 *   the broker tells them is refused.
 *
 * @returns Its end: resolves once the network is whole.
 */
export async function beginOutage(kind: OutageKind, stage: Stage): Promise<() => Promise<void>> {
  const { link, entrance } = stage
  const open = () => link.set({ kind: 'open' })
  const state = STATES[kind]
  if (state) {
    await link.set(state)
    return open
  }
  if (kind === 'names') {
    stage.failNames('EAI_AGAIN')
    await link.set({ kind: 'reset' })
    await open()
    return async () => stage.failNames(undefined)
  }
  if (kind === 'advertised') {
    await link.set({ kind: 'refused' })
    // What went in by the entrance is cut too; it stays open.
    await entrance.set({ kind: 'reset' })
    await entrance.set({ kind: 'open' })
    return open
  }
  return beginFlapping(stage)
}

async function beginFlapping({ link }: Stage): Promise<() => Promise<void>> {
  let up = false
  let changed = link.set({ kind: 'refused' })
  const timer = setInterval(() => {
    up = !up
    changed = changed.then(() => link.set({ kind: up ? 'open' : 'refused' }))
  }, FLAP_MS)
  await changed
  return async () => {
    clearInterval(timer)
    // The last change is a return from a refusal, whatever the time.
    await changed.then(() => link.set({ kind: 'refused' }))
    await link.set({ kind: 'open' })
  }
}
