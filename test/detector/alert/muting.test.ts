import { expect, test } from 'vitest'
import { type MuteRule, Muting } from '../../../detector/alert/muting.ts'
import { silencesSchema } from '../../../detector/alert/muting-config.ts'
import { detectorSchema } from '../../../detector/config.ts'

const PUMP = { site: 'plant7', device: 'pump-3', metric: 'temperature', kind: 'anomaly' } as const
const AT = Date.parse('2026-11-22T08:00:00Z')

function rules(...silences: object[]): MuteRule[] {
  return silencesSchema.parse(silences.map((s, i) => ({ name: `s${i}`, ...s })))
}

function complaints(silence: object): string[] {
  const result = silencesSchema.safeParse([{ name: 's', ...silence }])
  return result.success ? [] : result.error.issues.map(i => `${i.path.slice(1)}: ${i.message}`)
}

test('a silence covers what all its matchers fit, from one moment up to another', () => {
  const window = { from: '2026-11-22T08:00:00Z', to: '2026-11-22T10:00:00+01:00' }
  const muting = new Muting(rules({ ...window, devices: ['pump-*'], metrics: ['temp*', 'flow'] }))
  const isMuted = (subject: object, at = AT) => muting.of({ ...PUMP, ...subject }, at) !== undefined
  expect(isMuted({})).toBe(true)
  expect(isMuted({}, AT - 1)).toBe(false)
  expect(isMuted({}, AT + 3_599_999)).toBe(true)
  expect(isMuted({}, AT + 3_600_000)).toBe(false)
  expect(isMuted({ device: 'fan-1' })).toBe(false)
  expect(isMuted({ metric: 'pressure' })).toBe(false)
  expect(isMuted({ metric: 'flow', kind: 'stuck', site: 'q' })).toBe(true)
})

test('sites and kinds are matchers, too', () => {
  const silence = { state: 'suppressed_by_design', sites: ['plant7'], kinds: ['stuck', 'rate'] }
  const muting = new Muting(rules(silence))
  expect(muting.of({ ...PUMP, kind: 'stuck' }, AT)?.reason).toBe(
    "suppressed by design by the silence 's0'"
  )
  expect(muting.of(PUMP, AT)).toBeUndefined()
  expect(muting.of({ ...PUMP, kind: 'stuck', site: 'plant8' }, AT)).toBeUndefined()
})

test('a schedule and bounds hold together, and the reason tells the end', () => {
  const schedule = { days: ['sun'], from: '08:00', to: '10:00', zone: 'Europe/Berlin' }
  const muting = new Muting(rules({ schedule, to: '2026-11-22T08:30:00Z' }))
  expect(muting.of(PUMP, AT)?.reason).toBe(
    "shelved until 2026-11-22T08:30:00.000Z by the silence 's0'"
  )
  expect(muting.of(PUMP, AT + 1_800_000)).toBeUndefined()
  expect(muting.of(PUMP, AT - 7 * 86_400_000)?.reason).toContain('until 2026-11-15T09:00:00.000Z')
  expect(muting.of(PUMP, AT - 86_400_000)).toBeUndefined()
})

test('maintenance pauses learning, a shelved alert does not, and either can be told otherwise', () => {
  const to = '2027-01-01T00:00:00Z'
  const pauses = (silence: object) =>
    new Muting(rules({ to, ...silence })).pausesLearning(PUMP, 'anomaly', AT)
  expect(pauses({})).toBe(false)
  expect(pauses({ state: 'out_of_service' })).toBe(true)
  expect(pauses({ learning: 'paused' })).toBe(true)
  expect(pauses({ state: 'out_of_service', learning: 'continued' })).toBe(false)
  expect(pauses({ state: 'out_of_service', kinds: ['stuck'] })).toBe(false)
})

test('until the next change, nothing changes', () => {
  const schedule = { from: '07:30', to: '08:15', zone: 'UTC' }
  const bounds = { from: '2026-11-22T08:10:00Z', to: '2026-11-22T08:40:00Z' }
  const muting = new Muting(rules({ schedule }, bounds, { ...bounds, devices: ['fan-*'] }))
  const edges: string[] = []
  for (let at = AT; at < AT + 86_400_000; ) {
    const next = Math.min(muting.nextChange(PUMP, at), AT + 86_400_000)
    expect(next).toBeGreaterThan(at)
    const muted = muting.of(PUMP, at) !== undefined
    for (const within of [at + 1, (at + next) / 2, next - 1]) {
      expect(muting.of(PUMP, within) !== undefined).toBe(muted)
    }
    edges.push(new Date(next).toISOString().slice(11, 16))
    at = next
  }
  expect(edges).toEqual(['08:10', '08:15', '08:40', '07:30', '08:00'])
})

test('what cannot be meant is refused, and the message says what to write', () => {
  const to = '2027-01-01T00:00:00Z'
  expect(complaints({})).toEqual([
    "to: a 'shelved' silence ends by itself: give `to` or a schedule"
  ])
  expect(complaints({ state: 'out_of_service' })).toEqual([])
  expect(complaints({ from: to, to })).toEqual([`to: must be later than from (${to})`])
  expect(complaints({ to: '2027-01-01 00:00' })[0]).toContain('a time with its zone')
  const schedule = { from: '22:00', to: '06:00' }
  expect(complaints({ schedule })).toEqual([])
  expect(complaints({ schedule: { ...schedule, zone: 'Mars/Olympus' } })[0]).toContain(
    "there is no time zone 'Mars/Olympus'"
  )
  expect(complaints({ schedule: { ...schedule, from: '24:00' } })[0]).toContain('00:00 to 23:59')
  expect(complaints({ schedule: { ...schedule, days: ['sat', 'Sunday'] } })).toHaveLength(1)
  expect(complaints({ to, devices: [] })).toHaveLength(1)
  const twice = silencesSchema.safeParse([
    { name: 's', to },
    { name: 's', to }
  ])
  expect(twice.success).toBe(false)
})

test('severity boundaries that cross are refused', () => {
  expect(detectorSchema.parse({}).severity).toEqual({ warning: 0.87, critical: 0.95 })
  const crossed = detectorSchema.safeParse({ severity: { warning: 0.9, critical: 0.85 } })
  expect(crossed.error?.issues[0].message).toBe('must be at least severity.warning (0.9)')
})
