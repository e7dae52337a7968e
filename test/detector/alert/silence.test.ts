import { expect, test } from 'vitest'
import { type SilenceChange, SilenceWatch } from '../../../detector/alert/silence.ts'
import { T0 } from '../kit.ts'

const RULE = { enabled: true, factor: 5, minMs: 10_000 }

/** Devices `a`…: each sends every `everyMs` in [from, end), times relative to T0. */
class Play {
  readonly watch = new SilenceWatch(RULE, { devicesMax: 100, ttlMs: 86_400_000 })
  readonly changes: (SilenceChange & { when: number })[] = []

  hear(when: number, device: string, skewMs = 0, agentId = 'g'): void {
    const receivedAt = T0 + when
    const at = receivedAt + skewMs
    const { changes } = this.watch.hear({ agentId, site: 's', device, at, receivedAt })
    this.changes.push(...changes.map(c => ({ ...c, when })))
  }

  /** Every second, every device that `sends` then. */
  run(from: number, end: number, devices: string[], sends: (d: string, t: number) => boolean) {
    for (let t = from; t < end; t += 500) {
      for (const device of devices) if (sends(device, t)) this.hear(t, device)
    }
  }
}

test('a device that stops is found by the time the others have gone on, and cleared when heard', () => {
  const play = new Play()
  play.run(0, 120_000, ['a', 'b', 'c'], (d, t) => d !== 'b' || t < 60_000 || t >= 100_000)
  expect(play.changes.map(c => [c.state, c.device.device])).toEqual([
    ['silent', 'b'],
    ['heard', 'b']
  ])
  const [silent, heard] = play.changes
  expect(silent.when).toBeGreaterThan(69_000)
  expect(silent.when).toBeLessThan(72_000)
  expect(silent.device.at).toBe(T0 + 59_500)
  expect(heard.when).toBe(100_000)
  expect(heard.quietMs).toBe(40_500)
})

test('a slow device gets the time its own interval asks for', () => {
  const play = new Play()
  play.run(0, 400_000, ['a', 'b', 'slow'], (d, t) => {
    return d !== 'slow' || (t % 20_000 === 0 && t < 200_000)
  })
  expect(play.changes.map(c => [c.state, c.device.device])).toEqual([['silent', 'slow']])
  expect(play.changes[0].when).toBeGreaterThan(180_000 + 5 * 20_000 - 1000)
})

test('an outage of the whole stream is nobody’s silence', () => {
  const play = new Play()
  const devices = ['a', 'b', 'c']
  play.run(0, 60_000, devices, () => true)
  play.run(600_000, 608_000, devices, d => d !== 'c')
  // One that comes back late still has its whole time from the stream's return.
  play.run(608_000, 700_000, devices, () => true)
  expect(play.changes).toEqual([])
})

test('a clock that jumps, a device whose clock is wrong, and another agent’s time change nothing', () => {
  const play = new Play()
  play.run(0, 60_000, ['a', 'b'], () => true)
  play.hear(60_000, 'a', 7 * 86_400_000)
  for (let t = 0; t < 60_000; t += 100) play.hear(t + 5_000_000, 'x', 0, 'other')
  play.run(60_500, 120_000, ['a', 'b'], () => true)
  expect(play.changes).toEqual([])
})

test('an agent with one device never calls it silent', () => {
  const play = new Play()
  play.run(0, 60_000, ['a'], () => true)
  play.hear(500_000, 'a')
  expect(play.changes).toEqual([])
})

test('bursts do not make the interval short: several messages of one instant, then a pause', () => {
  const play = new Play()
  play.run(0, 300_000, ['a', 'b', 'burst'], (d, t) => d !== 'burst' || t % 15_000 === 0)
  for (let t = 300_000; t < 600_000; t += 500) {
    play.hear(t, 'a')
    if (t % 15_000 === 0) for (let i = 0; i < 40; i++) play.hear(t, 'burst')
  }
  expect(play.changes.filter(c => c.device.device === 'burst')).toEqual([])
})

test('a reading far behind its agent’s watermark is late; a fast clock of one device makes none late', () => {
  const play = new Play()
  const hear = (when: number, skewMs: number) =>
    play.watch.hear({
      agentId: 'g',
      site: 's',
      device: 'a',
      at: T0 + when + skewMs,
      receivedAt: T0 + when
    }).late
  expect(hear(0, 0)).toBe(false)
  expect(hear(1000, 3_600_000)).toBe(false)
  expect(hear(2000, 0)).toBe(false)
  expect(hear(3000, -30_000)).toBe(false)
  expect(hear(4000, -90_000)).toBe(true)
})

test('devices are bounded: the longest unheard one goes, and its alert with it', () => {
  const watch = new SilenceWatch(RULE, { devicesMax: 2, ttlMs: 86_400_000 })
  const changes: SilenceChange[] = []
  const hear = (t: number, device: string) =>
    changes.push(
      ...watch.hear({ agentId: 'g', site: 's', device, at: T0 + t, receivedAt: T0 + t }).changes
    )
  for (let t = 0; t < 20_000; t += 500) {
    hear(t, 'a')
    hear(t, 'b')
  }
  for (let t = 20_000; t < 40_000; t += 500) hear(t, 'b')
  hear(40_000, 'c')
  expect(changes.map(c => [c.state, c.device.device])).toEqual([
    ['silent', 'a'],
    ['forgotten', 'a']
  ])
  expect([...watch.devices].map(d => d.device)).toEqual(['b', 'c'])
})
