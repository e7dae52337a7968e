import { expect, test } from 'vitest'
import {
  DRIFT_SIGMA_PER_MINUTE,
  FAULT_KINDS,
  type Fault,
  type FaultKind
} from '../../firmware-sim/fault.ts'
import { FleetPlan, type PlanOptions, payloadOf, type Reading } from '../../firmware-sim/plan.ts'
import { labelsUntil, truthText } from '../../firmware-sim/truth.ts'

const SEED = 7
const START = 1_795_336_000_000

const BASE: PlanOptions = {
  devices: 10,
  metrics: 3,
  intervalMs: 500,
  durationMs: 120_000,
  seed: SEED,
  site: 'plant1',
  prefix: 'sim-',
  startAt: START,
  timeScale: 1,
  faults: { deviceShare: 1 }
}

const all = (options: Partial<PlanOptions> = {}): Reading[] => [
  ...new FleetPlan({ ...BASE, ...options }).readings()
]

interface Scene {
  fault: Fault
  device: number
  plan: FleetPlan
  /** Readings of the device by their number, with the fault and without. */
  faulty: Map<number, Reading>
  healthy: Map<number, Reading>
}

/** Plans with one kind only, one scene a fault. */
function scenes(kind: FaultKind, options: Partial<PlanOptions> = {}): Scene[] {
  const o = { ...BASE, ...options, faults: { kinds: [kind], deviceShare: 1 } }
  const plan = new FleetPlan(o)
  const faulty = [...plan.readings()]
  const healthy = all({ ...options, faults: false })
  const numberOf = (r: Reading): number =>
    Math.round((r.at - START) / o.intervalMs - r.device / o.devices)
  const byNumber = (readings: Reading[], device: number): Map<number, Reading> =>
    new Map(readings.filter(r => r.device === device).map(r => [numberOf(r), r]))
  return plan.faults.flatMap((faults, device) =>
    faults.map(fault => ({
      fault,
      device,
      plan,
      faulty: byNumber(faulty, device),
      healthy: byNumber(healthy, device)
    }))
  )
}

/** What the fault added, in σ, at reading `k`; and the rounding's share of it. */
function addedSigma(s: Scene, k: number): { added: number; tolerance: number } {
  const m = s.fault.metric as number
  const model = s.plan.models[s.device][m]
  const added =
    ((s.faulty.get(k)?.values[m] as number) - (s.healthy.get(k)?.values[m] as number)) / model.sigma
  return { added, tolerance: (model.quantum * 1.001) / model.sigma }
}

function expectHealthyOutside(s: Scene): void {
  for (const [k, reading] of s.healthy) {
    if (k < s.fault.first || k >= s.fault.end) expect(s.faulty.get(k)).toEqual(reading)
  }
}

test('the same seed gives the same readings and labels, another seed others', () => {
  const plan = new FleetPlan(BASE)
  expect([...plan.readings()]).toEqual(all())
  expect([...plan.readings()]).toEqual([...plan.readings()])
  expect(plan.labels()).toEqual(new FleetPlan(BASE).labels())
  expect(plan.labels().length).toBe(10)
  expect(all({ seed: SEED + 1 })[0].values).not.toEqual(all()[0].values)
})

test('values depend on the time since the start, not on the date', () => {
  const later = all({ startAt: START + 12_345_678 })
  expect(later.map(r => r.values)).toEqual(all().map(r => r.values))
  expect(later[5].at).toBe(all()[5].at + 12_345_678)
})

test('readings come in the order of time, each device at its interval, within the run', () => {
  const readings = all({ faults: false })
  expect(readings.length).toBe(10 * 240)
  for (let i = 1; i < readings.length; i++) {
    expect(readings[i].at).toBeGreaterThanOrEqual(readings[i - 1].at)
  }
  const one = readings.filter(r => r.device === 3)
  expect(new Set(one.slice(1).map((r, i) => r.at - one[i].at))).toEqual(new Set([500]))
  expect(readings[0].at).toBe(START)
  expect(readings.at(-1)?.at).toBeLessThan(START + 120_000)
})

test('a spike adds 6 to 12 σ to one metric for one to three readings', () => {
  const found = scenes('spike')
  expect(found.length).toBe(10)
  for (const s of found) {
    expect(Math.abs(s.fault.magnitude)).toBeGreaterThanOrEqual(6)
    expect(Math.abs(s.fault.magnitude)).toBeLessThanOrEqual(12)
    expect(s.fault.end - s.fault.first).toBeLessThanOrEqual(3)
    for (let k = s.fault.first; k < s.fault.end; k++) {
      const { added, tolerance } = addedSigma(s, k)
      expect(Math.abs(added - s.fault.magnitude)).toBeLessThanOrEqual(tolerance)
    }
    expectHealthyOutside(s)
  }
})

test('a shift moves the level by 3 to 6 σ and brings it back', () => {
  for (const s of scenes('shift')) {
    expect(Math.abs(s.fault.magnitude)).toBeGreaterThanOrEqual(3)
    expect(Math.abs(s.fault.magnitude)).toBeLessThanOrEqual(6)
    expect(s.fault.end - s.fault.first).toBeGreaterThanOrEqual(20)
    for (let k = s.fault.first; k < s.fault.end; k++) {
      const { added, tolerance } = addedSigma(s, k)
      expect(Math.abs(added - s.fault.magnitude)).toBeLessThanOrEqual(tolerance)
    }
    expectHealthyOutside(s)
  }
})

test('a drift grows by 0.05 σ a simulated minute until it is past 3 σ', () => {
  const minutes = { intervalMs: 60_000, durationMs: 6 * 3_600_000 }
  const found = [...scenes('drift', minutes), ...scenes('drift', { timeScale: 240 })]
  expect(found.length).toBe(20)
  found.forEach((s, i) => {
    const minutesAReading = i < 10 ? 1 : (500 * 240) / 60_000
    expect(Math.abs(s.fault.magnitude)).toBe(DRIFT_SIGMA_PER_MINUTE)
    for (let k = s.fault.first; k < s.fault.end; k++) {
      const stated = s.fault.magnitude * (k - s.fault.first) * minutesAReading
      const { added, tolerance } = addedSigma(s, k)
      expect(Math.abs(added - stated)).toBeLessThanOrEqual(tolerance)
    }
    expect(Math.abs(addedSigma(s, s.fault.end - 1).added)).toBeGreaterThan(3)
    expectHealthyOutside(s)
  })
})

test('a stuck sensor repeats its last value, the other metrics go on', () => {
  for (const s of scenes('stuck')) {
    const m = s.fault.metric as number
    expect(s.fault.end - s.fault.first).toBe(s.fault.magnitude)
    const held = s.faulty.get(s.fault.first - 1)?.values[m]
    for (let k = s.fault.first; k < s.fault.end; k++) {
      expect(s.faulty.get(k)?.values[m]).toBe(held)
      const other = (m + 1) % 3
      expect(s.faulty.get(k)?.values[other]).toBe(s.healthy.get(k)?.values[other])
    }
    expectHealthyOutside(s)
  }
})

test('a silent device sends nothing, then goes on where it would have been', () => {
  for (const s of scenes('silence')) {
    for (let k = s.fault.first; k < s.fault.end; k++) expect(s.faulty.has(k)).toBe(false)
    expect(s.healthy.size - s.faulty.size).toBe(s.fault.magnitude)
    expectHealthyOutside(s)
  }
})

test('a skewed clock moves only ts, by the stated time', () => {
  for (const s of scenes('clock_skew')) {
    expect(Math.abs(s.fault.magnitude)).toBeGreaterThanOrEqual(300_000)
    for (let k = s.fault.first; k < s.fault.end; k++) {
      const healthy = s.healthy.get(k) as Reading
      expect(s.faulty.get(k)).toEqual({ ...healthy, ts: healthy.ts + s.fault.magnitude })
    }
    expectHealthyOutside(s)
  }
})

test('a device with duplicates publishes each reading twice', () => {
  for (const s of scenes('duplicates')) {
    for (let k = s.fault.first; k < s.fault.end; k++) {
      expect(s.faulty.get(k)).toEqual({ ...(s.healthy.get(k) as Reading), copies: 2 })
    }
    expectHealthyOutside(s)
  }
})

test.each(FAULT_KINDS)('the label of %s spans the readings affected, half-open', kind => {
  const long = kind === 'drift' ? { timeScale: 240 } : {}
  for (const s of scenes(kind, long)) {
    const label = s.plan.labels().find(l => l.device === s.plan.devices[s.device].device)
    expect(label).toMatchObject({ site: 'plant1', kind, magnitude: s.fault.magnitude })
    const metric = s.fault.metric
    expect(label?.metric).toBe(metric === undefined ? '-' : s.plan.devices[0].metrics[metric])
    expect(label?.from).toBe(s.healthy.get(s.fault.first)?.at)
    expect(label?.to).toBe(s.healthy.get(s.fault.end)?.at)
  }
})

test('faults keep to the warm-up, to their share of devices, with healthy readings after each', () => {
  const plan = new FleetPlan({
    ...BASE,
    devices: 100,
    intervalMs: 1000,
    durationMs: 3_600_000,
    faults: { deviceShare: 0.25, perDevice: 60, warmUpMs: 60_000 }
  })
  expect(plan.faults.filter(f => f.length > 0).length).toBe(25)
  for (const label of plan.labels()) {
    expect(label.from).toBeGreaterThanOrEqual(START + 60_000)
    expect(label.to).toBeLessThanOrEqual(START + 3_600_000 - 7_000)
  }
  for (const faults of plan.faults) {
    for (let i = 1; i < faults.length; i++) {
      expect(faults[i].first).toBeGreaterThanOrEqual(faults[i - 1].end + 8)
    }
  }
})

test('a 90-second fleet of 100 devices gets every kind that fits; drift fits with the day sped up', () => {
  const demo = { devices: 100, durationMs: 90_000, faults: {} }
  const kinds = (o: Partial<PlanOptions>): Set<string> =>
    new Set(new FleetPlan({ ...BASE, ...o }).labels().map(l => l.kind))
  expect(kinds(demo)).toEqual(new Set(FAULT_KINDS.filter(k => k !== 'drift')))
  expect(kinds({ ...demo, timeScale: 240 })).toEqual(new Set(FAULT_KINDS))
})

test('a run shorter than its warm-up has no faults', () => {
  expect(new FleetPlan({ ...BASE, durationMs: 10_000 }).labels()).toEqual([])
})

test('21 days of a small fleet are generated without a clock', () => {
  const plan = new FleetPlan({
    ...BASE,
    devices: 3,
    intervalMs: 60_000,
    durationMs: 21 * 86_400_000,
    faults: { deviceShare: 1, perDevice: 10, warmUpMs: 3 * 86_400_000 }
  })
  let count = 0
  for (const reading of plan.readings()) count += reading.copies > 0 ? 1 : 0
  const missing = plan.labels().reduce((n, l) => n + (l.kind === 'silence' ? l.magnitude : 0), 0)
  expect(count).toBe(3 * 21 * 1440 - missing)
  expect(plan.labels().length).toBe(30)
})

test('a payload is JSON with every metric, the sequence and the time', () => {
  const [reading] = all()
  const payload = payloadOf(['temperature', 'vibration', 'pressure'], reading, 12)
  expect(JSON.parse(payload)).toEqual({
    temperature: reading.values[0],
    vibration: reading.values[1],
    pressure: reading.values[2],
    seq: 12,
    ts: reading.ts
  })
  expect(payloadOf(['a', 'b'], { ...reading, values: [undefined, 2] }, 1)).toBe(
    `{"b":2,"seq":1,"ts":${reading.ts}}`
  )
})

test('truth of a run that was cut short leaves out later faults and ends the one under way', () => {
  const label = { site: 's', device: 'd', metric: 'm', kind: 'shift', magnitude: 3 } as const
  const labels = [
    { ...label, from: 50, to: 90 },
    { ...label, from: 10, to: 20 },
    { ...label, from: 60, to: 70 }
  ]
  const cut = labelsUntil(labels, 60)
  expect(cut.map(l => [l.from, l.to])).toEqual([
    [50, 60],
    [10, 20]
  ])
  const lines = truthText(cut).trimEnd().split('\n')
  expect(lines.map(l => JSON.parse(l).from)).toEqual([10, 50])
})

test('signals and faults may be given: the silence of one metric leaves the others', () => {
  const flat = { amplitude1: 0, phase1: 0, amplitude2: 0, phase2: 0 }
  const given: Fault[] = [
    { kind: 'silence', metric: 1, magnitude: 3, first: 5, end: 8 },
    { kind: 'shift', metric: 0, magnitude: 4, first: 10, end: 12 }
  ]
  const plan = new FleetPlan({
    ...BASE,
    devices: 2,
    faults: [given],
    drawModel: (index, metric) => ({
      ...{ metric, level: 10 * index, sigma: 1, daily: flat, ar: 0, quantum: 100, decimals: 0 },
      drift: { amplitude: 0, periodMs: 1, phase: 0 }
    })
  })
  expect(plan.faults).toEqual([given, []])
  expect(plan.labels().map(l => [l.device, l.metric, l.kind])).toEqual([
    ['sim-001', 'vibration', 'silence'],
    ['sim-001', 'temperature', 'shift']
  ])
  const first = [...plan.readings()].filter(r => r.device === 0)
  expect(first).toHaveLength(240)
  expect(first.slice(4, 9).map(r => r.values[1] === undefined)).toEqual([
    false,
    true,
    true,
    true,
    false
  ])
  expect(first.every(r => r.values[0] !== undefined && r.values[2] !== undefined)).toBe(true)
})
