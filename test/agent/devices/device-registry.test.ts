import { expect, test } from 'vitest'
import { DeviceRate } from '../../../agent/devices/device-rate.ts'
import {
  DeviceRegistry,
  type DevicesRequest,
  type Sighting
} from '../../../agent/devices/device-registry.ts'
import { Prng } from '../../../core/runtime/prng.ts'

const T0 = 1_795_336_000_000

function sighting(device: string, receivedAt = T0, changes: Partial<Sighting> = {}): Sighting {
  return {
    ...{ site: 'plant7', device, topic: `telemetry/plant7/${device}`, clientId: `c-${device}` },
    ...{ upstream: false, receivedAt, unsynced: false, ...changes }
  }
}

function namesIn(registry: DeviceRegistry, request: DevicesRequest = {}, now = T0): string[] {
  return registry.look(request, now).shown.map(({ device }) => device)
}

// --- Who is there --------------------------------------------------------------------------------

test('a device is known from its first message on, with its first and last time, client and topic', () => {
  const registry = new DeviceRegistry(10)
  registry.see(sighting('pump-3'))
  registry.see(sighting('pump-3', T0 + 5000, { topic: 'telemetry/plant7/pump-3/temperature' }))
  registry.keep(
    'plant7',
    'pump-3',
    [{ values: [{ metric: 'temperature', value: 21.4, unit: '°C' }] }],
    T0 + 5000
  )
  expect(registry.look({}, T0 + 6000)).toEqual({
    ...{ at: T0 + 6000, known: 1, forgotten: 0, devicesMax: 10, matching: 1 },
    shown: [
      {
        ...{ site: 'plant7', device: 'pump-3', firstSeenAt: T0, lastSeenAt: T0 + 5000 },
        ...{ messages: 2, topic: 'telemetry/plant7/pump-3/temperature', clientsKnown: 1 },
        clients: [{ id: 'c-pump-3', lastSeenAt: T0 + 5000 }],
        values: [{ metric: 'temperature', value: 21.4, unit: '°C', at: T0 + 5000 }],
        rate: expect.closeTo(0.172, 2)
      }
    ]
  })
})

test('at the limit the one unheard for longest makes room, and is counted', () => {
  const registry = new DeviceRegistry(3)
  for (const [n, name] of ['a', 'b', 'c', 'a', 'd', 'e'].entries()) {
    registry.see(sighting(name, T0 + n))
  }
  expect(namesIn(registry)).toEqual(['e', 'd', 'a'])
  expect(registry.counts).toEqual({ known: 3, forgotten: 2 })
})

test(`order and limit are those of a slow reference (seed 7)`, () => {
  const prng = new Prng(7)
  const registry = new DeviceRegistry(20)
  let reference: string[] = []
  let forgotten = 0
  for (let n = 0; n < 5000; n++) {
    const name = `d${Math.floor(30 * prng.float() ** 2)}`
    registry.see(sighting(name, T0 + n))
    registry.keep('plant7', name, [{ values: [{ metric: `m${n % 5}`, value: n }] }], T0 + n)
    reference = [name, ...reference.filter(other => other !== name)]
    if (reference.length > 20) {
      reference.pop()
      forgotten++
    }
  }
  expect(namesIn(registry)).toEqual(reference)
  expect(registry.counts).toEqual({ known: 20, forgotten })
})

test('sites are apart: two may have a device of one name', () => {
  const registry = new DeviceRegistry(10)
  registry.see(sighting('pump-1'))
  registry.see(sighting('pump-1', T0 + 1, { site: 'plant8' }))
  expect(registry.look({}, T0).shown.map(({ site }) => site)).toEqual(['plant8', 'plant7'])
})

// --- Clients -------------------------------------------------------------------------------------

test('two clients that speak for one device are both named, and counted', () => {
  const registry = new DeviceRegistry(10)
  for (let n = 0; n < 6; n++) {
    registry.see(sighting('pump-3', T0 + n, { clientId: n % 2 ? 'second' : 'first' }))
  }
  const [{ clients, clientsKnown }] = registry.look({}, T0).shown
  expect(clients).toEqual([
    { id: 'second', lastSeenAt: T0 + 5 },
    { id: 'first', lastSeenAt: T0 + 4 }
  ])
  expect(clientsKnown).toBe(2)
})

test('of many clients the last four are kept, an upstream of the same name is another', () => {
  const registry = new DeviceRegistry(10)
  for (let n = 0; n < 9; n++) registry.see(sighting('a', T0 + n, { clientId: `c${n}` }))
  registry.see(sighting('a', T0 + 9, { clientId: 'c8', upstream: true }))
  const [{ clients, clientsKnown }] = registry.look({}, T0).shown
  expect(clients.map(({ id, upstream }) => (upstream ? `upstream ${id}` : id))).toEqual([
    ...['upstream c8', 'c8', 'c7', 'c6']
  ])
  expect(clientsKnown).toBe(10)
})

// --- Values --------------------------------------------------------------------------------------

test('a value replaces the one before, whatever the order of the leaves, and its unit', () => {
  const registry = new DeviceRegistry(10)
  registry.see(sighting('a'))
  const keep = (at: number, ...values: { metric: string; value: number; unit?: string }[]) =>
    registry.keep('plant7', 'a', [{ values }], at)
  keep(T0, { metric: 'x', value: 1, unit: 'm' }, { metric: 'y', value: 2 })
  keep(T0 + 1, { metric: 'y', value: 3, unit: 's' }, { metric: 'x', value: 4 })
  keep(T0 + 2, { metric: 'z', value: 5 })
  expect(registry.look({}, T0).shown[0].values).toEqual([
    { metric: 'x', value: 4, at: T0 + 1 },
    { metric: 'y', value: 3, unit: 's', at: T0 + 1 },
    { metric: 'z', value: 5, at: T0 + 2 }
  ])
})

test('of an array of readings the last one counts', () => {
  const registry = new DeviceRegistry(10)
  registry.see(sighting('a'))
  const payloads = Array.from({ length: 100 }, (_, n) => ({ values: [{ metric: 'x', value: n }] }))
  registry.keep('plant7', 'a', payloads, T0)
  expect(registry.look({}, T0).shown[0].values).toEqual([{ metric: 'x', value: 99, at: T0 }])
})

test('32 metrics of a device are kept, and in the mean 8: a few devices do not take all', () => {
  const registry = new DeviceRegistry(10)
  const values = Array.from({ length: 40 }, (_, n) => ({ metric: `m${n}`, value: n }))
  for (const name of ['a', 'b', 'c', 'd']) {
    registry.see(sighting(name))
    registry.keep('plant7', name, [{ values }], T0)
  }
  const shown = registry.look({ sort: 'name' }, T0).shown
  expect(shown.map(device => [device.values.length, device.moreValues])).toEqual([
    ...[32, 32, 16, 0].map(kept => [kept, true])
  ])
})

test('long texts are cut', () => {
  const registry = new DeviceRegistry(10)
  const long = 'x'.repeat(60_000)
  for (let n = 0; n < 3; n++) registry.see(sighting('a', T0 + n, { clientId: long, topic: long }))
  const [{ clients, clientsKnown, topic }] = registry.look({}, T0).shown
  expect([clients.length, clientsKnown, clients[0].id.length, topic.length]).toEqual([
    ...[1, 1, 256, 256]
  ])
})

// --- What is asked for ---------------------------------------------------------------------------

test('devices are found by name and client, by silence, and sorted', () => {
  const registry = new DeviceRegistry(10)
  const plan: [string, number, number][] = [
    ['old', T0, 1],
    ['busy', T0 + 1000, 50],
    ['Calm', T0 + 2000, 2]
  ]
  for (const [name, at, times] of plan) {
    for (let n = 0; n < times; n++) registry.see(sighting(name, at + 100 * n))
  }
  const now = T0 + 10_000
  const names = (request: DevicesRequest) => namesIn(registry, request, now)
  expect(names({})).toEqual(['Calm', 'busy', 'old'])
  expect(names({ sort: 'rate' })).toEqual(['busy', 'Calm', 'old'])
  expect(names({ sort: 'name' })).toEqual(['Calm', 'busy', 'old'])
  expect(names({ sort: 'new' })).toEqual(['Calm', 'busy', 'old'])
  expect(names({ find: 'cALM' })).toEqual(['Calm'])
  expect(names({ find: 'c-old' })).toEqual(['old'])
  expect(names({ find: 'PLANT7/b' })).toEqual(['busy'])
  expect(names({ silentForMs: 7_000 })).toEqual(['Calm', 'old'])
  expect(registry.look({ limit: 1, find: 'plant7' }, now)).toMatchObject({
    ...{ matching: 3, known: 3, shown: [{ device: 'Calm' }] }
  })
})

// --- Time ----------------------------------------------------------------------------------------

test(`a rate is that of a slow reference, from the second event on (seed 11)`, () => {
  const prng = new Prng(11)
  const rate = new DeviceRate(T0)
  const events: number[] = []
  let at = T0
  for (let n = 0; n < 400; n++) {
    at += Math.floor(2000 * prng.float() ** 3)
    rate.count(at)
    events.push(at)
    for (const now of [at, at + 30_000]) {
      const weights = events.reduce((sum, then) => sum + Math.exp((then - now) / 60_000), 0)
      const age = Math.max(1000, now - T0)
      const expected = weights / (60 * (1 - Math.exp(-age / 60_000)))
      expect(rate.perSecond(now)).toBeCloseTo(expected, 8)
    }
  }
})

test.each([1, 0.2, 20])(
  '%d messages a second show at once, and decay when nothing comes',
  hertz => {
    const rate = new DeviceRate(T0)
    const step = 1000 / hertz
    let at = T0
    for (let n = 1; n <= 50; n++) {
      at = T0 + n * step
      rate.count(at)
      if (at - T0 >= 1000) expect(rate.perSecond(at) / hertz).toBeGreaterThan(0.95)
      if (at - T0 >= 1000) expect(rate.perSecond(at) / hertz).toBeLessThan(1.1)
    }
    expect(rate.perSecond(at + 600_000) / hertz).toBeLessThan(0.001)
  }
)

test('a clock that is put back neither breaks a rate nor makes it endless', () => {
  const rate = new DeviceRate(T0)
  for (let n = 1; n < 100; n++) rate.count(T0 - 3_600_000 + n * 1000)
  expect(rate.perSecond(T0 - 3_500_000)).toBeGreaterThan(0)
  expect(Number.isFinite(rate.perSecond(T0 - 7_200_000))).toBe(true)
})

test('a device first heard before the time was known is new when it is', () => {
  const registry = new DeviceRegistry(10)
  registry.see(sighting('a', 5_000, { unsynced: true }))
  registry.see(sighting('a', 6_000, { unsynced: true }))
  registry.see(sighting('a', T0))
  registry.see(sighting('a', T0 + 2_000))
  expect(registry.look({}, T0 + 2_000).shown[0]).toMatchObject({
    ...{ firstSeenAt: T0, lastSeenAt: T0 + 2_000, messages: 4, rate: expect.closeTo(0.508, 2) }
  })
})

// --- Snapshot ------------------------------------------------------------------------------------

test('what is restored is as it was, and goes on as it would have', () => {
  const whole = new DeviceRegistry(5)
  const first = new DeviceRegistry(5)
  const message = (n: number) =>
    sighting(`d${(n * 7) % 6}`, T0 + 400 * n, { clientId: `c${n % 3}` })
  for (let n = 0; n < 300; n++) for (const registry of [whole, first]) registry.see(message(n))
  const text = JSON.stringify(first.snapshot())
  const second = new DeviceRegistry(5)
  second.restore(JSON.parse(text))
  expect(JSON.stringify(second.snapshot())).toBe(text)
  for (let n = 300; n < 600; n++) {
    whole.see(message(n))
    second.see(message(n))
  }
  const now = T0 + 400 * 600
  expect(second.look({ limit: 10 }, now)).toEqual(whole.look({ limit: 10 }, now))
})

test('a snapshot does not change with what happens later', () => {
  const registry = new DeviceRegistry(5)
  registry.see(sighting('a'))
  registry.keep('plant7', 'a', [{ values: [{ metric: 'x', value: 1 }] }], T0)
  const snapshot = registry.snapshot()
  const text = JSON.stringify(snapshot)
  registry.see(sighting('a', T0 + 9, { clientId: 'other' }))
  registry.keep('plant7', 'a', [{ values: [{ metric: 'x', value: 2 }] }], T0 + 9)
  expect(JSON.stringify(snapshot)).toBe(text)
})

test('with a lower limit than before, those heard last are kept', () => {
  const registry = new DeviceRegistry(5)
  for (const [n, name] of ['a', 'b', 'c', 'd'].entries()) registry.see(sighting(name, T0 + n))
  const smaller = new DeviceRegistry(2)
  smaller.restore(registry.snapshot())
  expect(namesIn(smaller)).toEqual(['d', 'c'])
})
