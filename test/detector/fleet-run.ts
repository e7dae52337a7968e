import type { AlertData } from '../../core/contract/alert-event.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import type { FleetPlan } from '../../firmware-sim/plan.ts'
import { reading } from './kit.ts'

const BATCH = 5000

function* readingsOf(plan: FleetPlan): Generator<DetectorReading> {
  let offset = 0
  for (const taken of plan.readings()) {
    const { device, metrics } = plan.devices[taken.device]
    const values = Object.fromEntries(
      metrics.flatMap((metric, i) => {
        const value = taken.values[i]
        return value === undefined ? [] : [[metric, value]]
      })
    )
    for (let copy = 0; copy < taken.copies; copy++) {
      const times = { receivedAt: taken.at + 3 }
      yield reading(offset++, device, taken.ts, values, times)
    }
  }
}

export interface FleetRun {
  /** Values scored. */
  scored: number
  /** How many faults of a kind there were, and the share that an alert speaks of. */
  faults: (kind: string) => { count: number; found: number }
  /** Raised alerts that no fault explains, with the agent's time. */
  unexplained: { data: AlertData; when: number }[]
}

/**
 * A simulated fleet's readings through the engine.
 *
 * @param graceMs An alert may come this long after the end of its fault.
 */
export async function runFleet(
  plan: FleetPlan,
  config: DetectorConfig,
  graceMs: number
): Promise<FleetRun> {
  const detector = new Detector(config, { source: '/fieldline/g', logger: silentLogger })
  const raised: FleetRun['unexplained'] = []
  /** An alert, each time that it names a series for the first time. */
  const tellings: (FleetRun['unexplained'][number] & { metric: string })[] = []
  const named = new Map<string, Set<string>>()
  let batch: DetectorReading[] = []
  const process = async (): Promise<void> => {
    for (const { reading: cause, events } of await detector.process(batch)) {
      for (const { data } of events) {
        const one = { data, when: cause.receivedAt }
        if (data.state === 'raised') raised.push(one)
        for (const metric of namedFirst(data, named)) tellings.push({ ...one, metric })
      }
    }
    batch = []
  }
  for (const one of readingsOf(plan)) {
    batch.push(one)
    if (batch.length >= BATCH) await process()
  }
  await process()
  const explained = new Set<string>()
  const found = plan.labels().map(label => {
    const hits = tellings.filter(
      ({ data, metric, when }) =>
        data.device === label.device &&
        (label.metric === '-' || metric === label.metric || metric === '-') &&
        when >= label.from &&
        when < label.to + graceMs
    )
    for (const { data } of hits) explained.add(data.alertId)
    return { kind: label.kind, found: hits.length > 0 }
  })
  return {
    scored: detector.counters().scored,
    faults: kind => {
      const of = found.filter(f => f.kind === kind)
      return { count: of.length, found: of.filter(f => f.found).length / of.length }
    },
    unexplained: raised.filter(({ data }) => !explained.has(data.alertId))
  }
}

/** Series that an event is the first of its alert to name; `-` when it names none. */
function namedFirst(
  { alertId, state, metric, contributions }: AlertData,
  named: Map<string, Set<string>>
): string[] {
  const known = named.get(alertId) ?? new Set()
  named.set(alertId, known)
  const names = metric === '-' ? contributions.map(c => c.metric) : [metric]
  if (state === 'raised' && names.length === 0) names.push('-')
  const fresh = names.filter(name => !known.has(name))
  for (const name of fresh) known.add(name)
  return fresh
}
