import { setImmediate } from 'node:timers/promises'
import type { AlertData } from '../../core/contract/alert-event.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { detectorSchema } from '../../detector/config.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import type { FleetPlan } from '../../firmware-sim/plan.ts'
import type { Label } from '../../firmware-sim/truth.ts'
import {
  CASES,
  CLASSES,
  DAY_MS,
  FAULTY_DAYS,
  type FaultCase,
  fleetPlan,
  LEARNING_DAYS,
  STARTS_AT
} from './fleet-plan.ts'
import { fleetTable } from './fleet-table.ts'
import type { BenchOptions } from './options.ts'
import { medianOf } from './report.ts'

const SEED = 20_261_122
const DEVICES = 1000
const BATCH = 5000
/** An alert may come this long after the end of its fault, and still be of it. */
const GRACE_MS = 3_600_000
const FALSE_ALERTS_MAX = 1
/** One agent hears them all. */
const EPOCH = '1-0000000000000000'

interface Told {
  data: AlertData
  /** Receive time of the reading that caused the event. */
  when: number
}

interface Fault {
  label: Label
  of: FaultCase
  class: string
  /** Event time from its beginning to the first word of it; undefined: missed. */
  delayMs: number | undefined
}

/**
 * How much of what goes wrong in a fleet is told, and how much is told that is not so: simulated
 * devices, default settings, straight into the engine.
 */
export async function benchFleet({ scale }: BenchOptions): Promise<unknown> {
  const devices = Math.max(10, Math.round(DEVICES * scale))
  process.stderr.write(`fleet of ${devices} devices × ${CLASSES.length}, seed ${SEED}\n`)
  const { plan, cases } = fleetPlan(devices, SEED)
  const from = performance.now()
  const { told, values, readings } = await run(plan, devices)
  const seconds = (performance.now() - from) / 1000
  const { faults, unexplained } = judge(plan, cases, told)
  const rows = CASES.map(one => rowOf(one, faults))
  const falseAlerts = falseAlertsOf(unexplained, devices)
  const passed =
    falseAlerts.faultyWeek <= FALSE_ALERTS_MAX &&
    rows.every(row => row.recallMin === undefined || row.recall >= row.recallMin)
  process.stderr.write(fleetTable(rows, falseAlerts, { devices, seed: SEED, passed }))
  return {
    ...{ benchmark: 'fleet', seed: SEED, devices, metrics: CLASSES.length, readings, values },
    readingsPerSecond: Math.round(readings / seconds),
    valuesPerSecond: Math.round(values / seconds),
    ...{ passed, falseAlertsMax: FALSE_ALERTS_MAX, falseAlerts, rows }
  }
}

async function run(plan: FleetPlan, devices: number) {
  const config = detectorSchema.parse({ series_max: devices * (CLASSES.length + 1) })
  const detector = new Detector(config, { source: '/fieldline/fleet', logger: silentLogger })
  const told: Told[] = []
  let batch: DetectorReading[] = []
  const process = async (): Promise<void> => {
    for (const { reading, events } of await detector.process(batch)) {
      for (const { data } of events) {
        if (data.state !== 'cleared') told.push({ data, when: reading.receivedAt })
      }
    }
    batch = []
    // So that an interrupt is heard.
    await setImmediate()
  }
  let offset = 0
  for (const taken of plan.readings()) {
    const { site, device, metrics } = plan.devices[taken.device]
    const eventId = `fleet/${EPOCH}/${offset}`
    batch.push({
      ...{ epoch: EPOCH, offset: offset++, agentId: 'fleet', eventId, site, device },
      ...{ at: taken.ts, receivedAt: taken.at },
      values: metrics.flatMap((metric, i) => {
        const value = taken.values[i]
        return value === undefined ? [] : [{ metric, value }]
      })
    })
    if (batch.length >= BATCH) await process()
  }
  await process()
  return { told, readings: offset, values: detector.counters().scored }
}

/** Which event speaks of which fault. What speaks of none, though it was raised, is false. */
function judge(plan: FleetPlan, cases: FaultCase[], told: Told[]) {
  const byDevice = groupBy(told, ({ data }) => data.device)
  const metrics = plan.devices[0].metrics
  const explained = new Set<Told>()
  const faults = plan.labels().map((label, i): Fault => {
    let delayMs: number | undefined
    for (const one of byDevice.get(label.device) ?? []) {
      if (one.when < label.from || one.when >= label.to + GRACE_MS) continue
      if (!concerns(one.data, label)) continue
      explained.add(one)
      if (speaksOf(one.data, label)) delayMs ??= one.when - label.from
    }
    const index = metrics.indexOf(label.metric)
    return { label, of: cases[i], class: CLASSES[index] ?? 'device', delayMs }
  })
  const unexplained = told.filter(one => one.data.state === 'raised' && !explained.has(one))
  return { faults, unexplained }
}

/** The alert's series, or one that joined it, is the fault's. */
function concerns({ metric, contributions }: AlertData, label: Label): boolean {
  if (metric === label.metric || metric === '-' || label.metric === '-') return true
  return contributions.some(c => c.metric === label.metric)
}

function speaksOf(data: AlertData, label: Label): boolean {
  const named = data.metric === label.metric || data.contributions.some(nameOf)
  if (label.kind === 'silence' && label.metric === '-') {
    return data.kind === 'silent' && data.metric === '-'
  }
  if (label.kind === 'silence') return named && data.kind === 'silent'
  return named && data.kind === (label.kind === 'stuck' ? 'stuck' : 'anomaly')

  function nameOf(contribution: { metric: string }): boolean {
    return contribution.metric === label.metric
  }
}

function rowOf(one: FaultCase, faults: readonly Fault[]) {
  const of = faults.filter(fault => fault.of === one)
  const found = of.filter(fault => fault.delayMs !== undefined)
  const delays = found.map(fault => fault.delayMs ?? 0)
  const classes = [...CLASSES, 'device'].flatMap(name => {
    const own = of.filter(fault => fault.class === name)
    const share = own.filter(fault => fault.delayMs !== undefined).length / own.length
    return own.length === 0 ? [] : [[name, { faults: own.length, recall: rounded(share) }]]
  })
  return {
    name: one.name,
    ...(one.recallMin === undefined ? {} : { recallMin: one.recallMin }),
    ...{ faults: of.length, recall: rounded(found.length / Math.max(1, of.length)) },
    delayMedianMinutes: delays.length === 0 ? null : rounded(medianOf(delays) / 60_000),
    classes: Object.fromEntries(classes) as Record<string, { faults: number; recall: number }>
  }
}
export type FleetRow = ReturnType<typeof rowOf>

/** A device and week, while it learned and when it had; of the latter, by kind and by class. */
function falseAlertsOf(unexplained: readonly Told[], devices: number) {
  const weekOf = ({ when }: Told) => Math.floor((when - STARTS_AT) / (7 * DAY_MS))
  const learningWeeks = LEARNING_DAYS / FAULTY_DAYS
  const perDevice = (alerts: readonly Told[]) => rounded(alerts.length / devices)
  const faultyWeek = unexplained.filter(one => weekOf(one) >= learningWeeks)
  const shares = (nameOf: (one: Told) => string) =>
    Object.fromEntries([...groupBy(faultyWeek, nameOf)].map(([name, of]) => [name, perDevice(of)]))
  return {
    firstWeek: perDevice(unexplained.filter(one => weekOf(one) === 0)),
    secondWeek: perDevice(unexplained.filter(one => weekOf(one) === 1)),
    faultyWeek: perDevice(faultyWeek),
    byKind: shares(({ data }) => data.kind),
    byMetric: shares(({ data }) => data.metric)
  }
}
export type FalseAlerts = ReturnType<typeof falseAlertsOf>

function rounded(share: number): number {
  return Math.round(share * 1000) / 1000
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups
}
