import { ByDevice, detached } from '../by-device.ts'
import type { DeviceClock } from '../quality/device-clock.ts'
import { copyWords, type StateReader, type StateWriter } from '../state-bytes.ts'
import { UseOrder } from '../use-order.ts'

/** When a device was last heard, and how long it usually pauses. */
export interface HeardDevice {
  site: string
  device: string
  readonly agentId: string
  /** Active time of the agent's stream at the last reading. */
  activeMs: number
  receivedAt: number
  /** Event time. */
  at: number
  /** Longest pause of late: rises at once, falls slowly. Active ms. */
  intervalMs: number
  gaps: number
  silent: boolean
  /** The device's own time: passes only while it is heard. */
  aliveMs: number
  /** Of its own time: when its series are to be looked at again. */
  scanFromMs: number
  clock: DeviceClock
}

const ACTIVE = 0
const RECEIVED = 1
const AT = 2
const INTERVAL = 3
const GAPS = 4
const SILENT = 5
const ALIVE = 6
const SCAN_FROM = 7
const CLOCK = 8
const NUMBERS = CLOCK + 6
const AGENT_TEXTS_MAX = 4096
/** Of a device in a state, at least. */
const DEVICE_BYTES = 3 * 4 + NUMBERS * 8

/**
 * Devices in the order in which they were last heard: a row of 14 numbers each, 120 bytes beside the
 * name. What is asked of one is asked through `row`, one view for all of them.
 */
export class HeardDevices {
  readonly #rows = new ByDevice<number>()
  readonly #names: ({ site: string; device: string } | undefined)[] = []
  readonly #agents: string[] = []
  /** One text for all devices of an agent. */
  readonly #agentTexts = new Map<string, string>()
  readonly #order = new UseOrder()
  readonly #free: number[] = []
  readonly #view = new Row()
  #numbers: Float64Array = new Float64Array(0)
  #words = new Int32Array(0)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** −1: nobody was heard. */
  get oldest(): number {
    return this.#order.oldest
  }

  /** @returns The next heard after that one; −1 behind the last. */
  next(row: number): number {
    return this.#order.next(row)
  }

  /** @returns Its row, now the last heard; −1 when it is not known. */
  touch(site: string, device: string): number {
    const row = this.#rows.get(site, device)
    if (row === undefined) return -1
    this.#order.touch(row)
    return row
  }

  /** A device that is not known yet; all its numbers are 0. */
  add(site: string, device: string, agentId: string): number {
    const row = this.#free.pop() ?? this.#names.length
    this.#reserve(row + 1)
    this.#names[row] = this.#rows.add(site, device, row)
    this.move(row, agentId)
    this.#numbers.fill(0, row * NUMBERS, (row + 1) * NUMBERS)
    this.#order.add(row)
    this.#size++
    return row
  }

  /** The device is at another agent now. */
  move(row: number, agentId: string): void {
    let text = this.#agentTexts.get(agentId)
    if (text === undefined) {
      if (this.#agentTexts.size >= AGENT_TEXTS_MAX) this.#agentTexts.clear()
      text = detached(agentId)
      this.#agentTexts.set(text, text)
    }
    this.#agents[row] = text
  }

  remove(row: number): void {
    const { site, device } = this.#names[row] as { site: string; device: string }
    this.#rows.delete(site, device)
    this.#names[row] = undefined
    this.#order.remove(row)
    this.#free.push(row)
    this.#size--
  }

  /** @returns A view that writes through; valid until the next call. */
  row(row: number): HeardDevice {
    return this.#view.look(row, this.#names, this.#agents, this.#numbers)
  }

  /** Copies; oldest first. */
  *[Symbol.iterator](): Iterator<HeardDevice> {
    for (let row = this.oldest; row >= 0; row = this.next(row)) yield copyOf(this.row(row))
  }

  /** Adds to each agent's count the devices that were last heard through it; others are passed over. */
  countByAgent(counts: Map<string, number>): void {
    for (let row = this.oldest; row >= 0; row = this.next(row)) {
      const count = counts.get(this.#agents[row])
      if (count !== undefined) counts.set(this.#agents[row], count + 1)
    }
  }

  get stateBytesMax(): number {
    let texts = 0
    for (let row = this.oldest; row >= 0; row = this.next(row)) {
      const { site, device } = this.row(row)
      texts += site.length + device.length + this.#agents[row].length
    }
    return 4 + this.#size * (DEVICE_BYTES + 12) + 3 * texts
  }

  /** One view for all of them, oldest first: what is to be kept of it is taken at once. */
  *rows(): Iterable<HeardDevice> {
    for (let row = this.oldest; row >= 0; row = this.next(row)) yield this.row(row)
  }

  save(writer: StateWriter): void {
    writer.count(this.#size)
    for (let row = this.oldest; row >= 0; row = this.next(row)) {
      const { site, device } = this.#names[row] as { site: string; device: string }
      writer.text(site)
      writer.text(device)
      writer.text(this.#agents[row])
      const to = writer.take(NUMBERS * 2)
      copyWords(this.#words, row * NUMBERS * 2, writer.words, to, NUMBERS * 2)
    }
  }

  /** Into an empty one. Throws a RangeError when the bytes cannot be a state. */
  load(reader: StateReader): void {
    const count = reader.count(DEVICE_BYTES)
    this.#reserve(count)
    for (let i = 0; i < count; i++) {
      const site = reader.text()
      const device = reader.text()
      const agentId = reader.text()
      if (this.#rows.get(site, device) !== undefined) throw new RangeError('a device twice')
      const row = this.add(site, device, agentId)
      copyWords(reader.words, reader.take(NUMBERS * 2), this.#words, row * NUMBERS * 2, NUMBERS * 2)
      for (let n = row * NUMBERS; n < (row + 1) * NUMBERS; n++) {
        if (!Number.isFinite(this.#numbers[n])) throw new RangeError('not a number')
      }
    }
  }

  #reserve(rows: number): void {
    if (rows * NUMBERS <= this.#numbers.length) return
    const room = Math.max(64, rows, Math.ceil(1.5 * (this.#numbers.length / NUMBERS)))
    const numbers = new Float64Array(room * NUMBERS)
    numbers.set(this.#numbers)
    this.#numbers = numbers
    this.#words = new Int32Array(numbers.buffer)
    this.#order.reserve(room)
  }
}

/** A view of one row. */
class Row implements HeardDevice {
  site = ''
  device = ''
  readonly clock = new ClockOfRow()
  #agents: string[] = []
  #numbers: Float64Array = new Float64Array(0)
  #row = 0
  #base = 0

  look(
    row: number,
    names: ({ site: string; device: string } | undefined)[],
    agents: string[],
    numbers: Float64Array
  ): this {
    const name = names[row] as { site: string; device: string }
    this.site = name.site
    this.device = name.device
    this.#agents = agents
    this.#numbers = numbers
    this.#row = row
    this.#base = row * NUMBERS
    this.clock.look(numbers, this.#base + CLOCK)
    return this
  }

  get agentId(): string {
    return this.#agents[this.#row]
  }
  get silent(): boolean {
    return this.#numbers[this.#base + SILENT] === 1
  }
  set silent(silent: boolean) {
    this.#numbers[this.#base + SILENT] = silent ? 1 : 0
  }
  get activeMs(): number {
    return this.#numbers[this.#base + ACTIVE]
  }
  set activeMs(value: number) {
    this.#numbers[this.#base + ACTIVE] = value
  }
  get receivedAt(): number {
    return this.#numbers[this.#base + RECEIVED]
  }
  set receivedAt(value: number) {
    this.#numbers[this.#base + RECEIVED] = value
  }
  get at(): number {
    return this.#numbers[this.#base + AT]
  }
  set at(value: number) {
    this.#numbers[this.#base + AT] = value
  }
  get intervalMs(): number {
    return this.#numbers[this.#base + INTERVAL]
  }
  set intervalMs(value: number) {
    this.#numbers[this.#base + INTERVAL] = value
  }
  get gaps(): number {
    return this.#numbers[this.#base + GAPS]
  }
  set gaps(value: number) {
    this.#numbers[this.#base + GAPS] = value
  }
  get aliveMs(): number {
    return this.#numbers[this.#base + ALIVE]
  }
  set aliveMs(value: number) {
    this.#numbers[this.#base + ALIVE] = value
  }
  get scanFromMs(): number {
    return this.#numbers[this.#base + SCAN_FROM]
  }
  set scanFromMs(value: number) {
    this.#numbers[this.#base + SCAN_FROM] = value
  }
}

class ClockOfRow implements DeviceClock {
  #numbers: Float64Array = new Float64Array(0)
  #base = 0

  look(numbers: Float64Array, base: number): void {
    this.#numbers = numbers
    this.#base = base
  }

  get usualMs(): number {
    return this.#numbers[this.#base + 0]
  }
  set usualMs(value: number) {
    this.#numbers[this.#base + 0] = value
  }
  get usual(): number {
    return this.#numbers[this.#base + 1]
  }
  set usual(value: number) {
    this.#numbers[this.#base + 1] = value
  }
  get odd(): number {
    return this.#numbers[this.#base + 2]
  }
  set odd(value: number) {
    this.#numbers[this.#base + 2] = value
  }
  get oddReceivedAt(): number {
    return this.#numbers[this.#base + 3]
  }
  set oddReceivedAt(value: number) {
    this.#numbers[this.#base + 3] = value
  }
  get oddAt(): number {
    return this.#numbers[this.#base + 4]
  }
  set oddAt(value: number) {
    this.#numbers[this.#base + 4] = value
  }
  get told(): number {
    return this.#numbers[this.#base + 5]
  }
  set told(value: number) {
    this.#numbers[this.#base + 5] = value
  }
}

function copyOf(row: HeardDevice): HeardDevice {
  const { site, device, agentId, activeMs, receivedAt, at } = row
  const { intervalMs, gaps, silent, aliveMs, scanFromMs } = row
  const { usualMs, usual, odd, oddReceivedAt, oddAt, told } = row.clock
  return {
    ...{ site, device, agentId, activeMs, receivedAt, at, intervalMs, gaps, silent },
    ...{ aliveMs, scanFromMs, clock: { usualMs, usual, odd, oddReceivedAt, oddAt, told } }
  }
}
