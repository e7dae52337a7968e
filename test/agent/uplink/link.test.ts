import { expect, test } from 'vitest'
import { LinkEstimate } from '../../../agent/uplink/link.ts'

const MB = 1_000_000

/** A link that is what it says, and sends over it as large as the estimate allows. */
class Wire {
  readonly link: LinkEstimate
  bytesPerSecond: number
  roundTripMs: number
  squeeze = 1

  constructor(bytesPerSecond: number, roundTripMs: number, bytesMax = MB) {
    this.link = new LinkEstimate(bytesMax)
    this.bytesPerSecond = bytesPerSecond
    this.roundTripMs = roundTripMs
    this.link.heard(roundTripMs)
  }

  /** @returns How long it was on its way, without the round trip, ms. */
  send(bytes = this.link.batchBytes): number {
    const wireBytes = bytes * this.squeeze
    const transferMs = (wireBytes / this.bytesPerSecond) * 1000
    this.link.answered(bytes, this.roundTripMs + transferMs, wireBytes)
    return transferMs
  }
}

test.each([1_000, 3_000, 10_000, 64_000, 1 * MB, 5 * MB])(
  'at %i B/s no batch beyond the first takes more than a second, and from the fifth on it takes nearly one where there is so much to send',
  bytesPerSecond => {
    const wire = new Wire(bytesPerSecond, 80)
    const first = wire.send()
    expect(first).toBeLessThan(5_000)
    const later = Array.from({ length: 12 }, () => wire.send())
    const tolerance = bytesPerSecond < 2_048 ? 1.05 : 1.01
    expect(Math.max(...later)).toBeLessThanOrEqual(
      Math.max(1000 * tolerance, 1_024_000 / bytesPerSecond)
    )
    const full = Math.min(1000, (MB / bytesPerSecond) * 1000)
    for (const ms of later.slice(4)) expect(ms).toBeGreaterThan(full * 0.95)
  }
)

test('a fast link is at full size after four batches', () => {
  const wire = new Wire(100 * MB, 1)
  const sizes = Array.from({ length: 5 }, () => {
    const { batchBytes } = wire.link
    wire.send()
    return batchBytes
  })
  expect(sizes).toEqual([4096, 16_384, 65_536, 262_144, MB])
})

test('the round trip is no transfer: a far link is used as well as a near one', () => {
  const wire = new Wire(MB, 600)
  for (let n = 0; n < 8; n++) wire.send()
  expect(wire.link.batchBytes).toBeGreaterThan(0.95 * MB)
})

test('a link that becomes a hundred times slower shrinks the very next batch', () => {
  const wire = new Wire(MB, 50)
  for (let n = 0; n < 8; n++) wire.send()
  wire.bytesPerSecond = 10_000
  wire.send()
  expect(wire.send()).toBeLessThanOrEqual(1_001)
})

test('one that becomes faster again is followed', () => {
  const wire = new Wire(10_000, 50)
  for (let n = 0; n < 8; n++) wire.send()
  wire.bytesPerSecond = 10 * MB
  for (let n = 0; n < 4; n++) wire.send()
  expect(wire.link.batchBytes).toBe(MB)
})

test('small sends neither make the batch larger nor, while they are quick, smaller', () => {
  const wire = new Wire(MB, 5)
  for (let n = 0; n < 20; n++) wire.send(300)
  expect(wire.link.batchBytes).toBe(4096)
  for (let n = 0; n < 8; n++) wire.send()
  const { batchBytes } = wire.link
  for (let n = 0; n < 20; n++) wire.send(300)
  expect(wire.link.batchBytes).toBe(batchBytes)
})

test('what compression saves makes batches larger, up to the limit, as bytes on the link count', () => {
  const wire = new Wire(10_000, 50)
  wire.squeeze = 0.25
  for (let n = 0; n < 10; n++) wire.send()
  expect(wire.link.batchBytes).toBeGreaterThan(38_000)
  expect(wire.link.batchBytes).toBeLessThan(42_000)
  wire.bytesPerSecond = 10 * MB
  for (let n = 0; n < 10; n++) wire.send()
  expect(wire.link.batchBytes).toBe(MB)
})

test('after an outage the next batch is small again', () => {
  const wire = new Wire(10 * MB, 5)
  for (let n = 0; n < 8; n++) wire.send()
  wire.link.restart()
  expect(wire.link.batchBytes).toBe(4096)
})

test('a deadline is 10 s, or four times what the measured rate needs', () => {
  const wire = new Wire(10_000, 50)
  expect(wire.link.deadlineMs(MB)).toBe(10_000)
  for (let n = 0; n < 8; n++) wire.send()
  expect(wire.link.deadlineMs(10_000)).toBe(10_000)
  expect(wire.link.deadlineMs(100_000) / 1000).toBeCloseTo(40, 0)
})

test('each send in a row that a living link did not answer doubles the deadline; an answer ends that', () => {
  const wire = new Wire(10 * MB, 50)
  wire.send()
  wire.link.unanswered()
  wire.link.unanswered()
  expect(wire.link.deadlineMs(4096)).toBe(40_000)
  for (let n = 0; n < 50; n++) wire.link.unanswered()
  expect(wire.link.deadlineMs(4096)).toBe(10_240_000)
  wire.send()
  expect(wire.link.deadlineMs(4096)).toBe(10_000)
})

test('others that fill the link do not shrink a small flow to nothing', () => {
  const link = new LinkEstimate(MB)
  link.heard(50)
  // A second of somebody else's bytes before each of ours.
  for (let n = 0; n < 30; n++)
    link.answered(link.batchBytes, 1_050 + link.batchBytes / 10, link.batchBytes)
  expect(link.batchBytes).toBeGreaterThanOrEqual(2048)
})
