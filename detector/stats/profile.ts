/**
 * What a signal usually is at a time of the day, or of the week: a mean a slot, of the visits before.
 * A visit – the rows that fall into a slot, one after the other – is averaged on its own and counts
 * when it is over, so that what happens now does not become what was expected an hour ago.
 *
 * Slots are of UTC: where clocks are put forward, the shape comes an hour off for as many visits as
 * a slot remembers.
 *
 * Two bytes a number: deviations from something near, to three digits (bfloat16: sign, eight bits of
 * exponent, seven of mantissa). 0 is a slot never visited; a mean of 0 is stored as −0.
 *
 * State: `slots` means, then the mean of the visit under way, and its slot and rows.
 *
 * Source: B. L. Bowerman & R. T. O'Connell, Forecasting and Time Series, 1993 (seasonal means).
 */
export class ProfileShape {
  readonly slots: number
  /** Numbers of two bytes. */
  readonly size: number
  readonly #slotsADay: number
  readonly #spanMs: number
  readonly #gain: number

  /**
   * @param options.days 1 or 7.
   * @param options.gain Weight of the last visit.
   */
  constructor(options: { slotsADay: number; days: number; gain: number }) {
    this.slots = options.slotsADay * options.days
    this.size = this.slots + 2
    this.#slotsADay = options.slotsADay
    this.#spanMs = options.days * DAY_MS
    this.#gain = options.gain
  }

  slotOf(at: number): number {
    const within = at - Math.floor(at / this.#spanMs) * this.#spanMs
    return Math.min(this.slots - 1, Math.floor((within * this.#slotsADay) / DAY_MS))
  }

  /** @returns NaN for a slot never visited before. */
  mean(state: Uint16Array, base: number, slot: number): number {
    const code = state[base + slot]
    return code === 0 ? Number.NaN : widen(code)
  }

  /** @param value Finite in single precision. */
  learn(state: Uint16Array, base: number, slot: number, value: number): void {
    const visit = base + this.slots
    const under = state[visit + 1]
    const rows = under % ROWS_A_VISIT
    const visited = (under - rows) / ROWS_A_VISIT
    if (rows > 0 && visited !== slot) this.#commit(state, base, visited)
    const count = rows > 0 && visited === slot ? Math.min(rows + 1, ROWS_A_VISIT - 1) : 1
    const before = count === 1 ? value : widen(state[visit])
    state[visit] = narrow(before + (value - before) / count)
    state[visit + 1] = slot * ROWS_A_VISIT + count
  }

  /** A state that `learn` could have left. */
  isSound(state: Uint16Array, base: number): boolean {
    for (let i = 0; i <= this.slots; i++) {
      if (!Number.isFinite(widen(state[base + i]))) return false
    }
    return Math.floor(state[base + this.slots + 1] / ROWS_A_VISIT) < this.slots
  }

  #commit(state: Uint16Array, base: number, slot: number): void {
    const visit = widen(state[base + this.slots])
    const before = this.mean(state, base, slot)
    const mean = Number.isNaN(before) ? visit : before + this.#gain * (visit - before)
    state[base + slot] = narrow(mean)
  }
}

const DAY_MS = 86_400_000
/** Rows of a visit are counted up to one less. */
const ROWS_A_VISIT = 512
const NEGATIVE_ZERO = 0x8000
const single = new Float32Array(1)
const bits = new Uint32Array(single.buffer)

/** Rounds to the nearest. */
function narrow(value: number): number {
  single[0] = value
  const code = ((bits[0] + 0x8000) >>> 16) & 0xffff
  return code === 0 ? NEGATIVE_ZERO : code
}

function widen(code: number): number {
  bits[0] = code << 16
  return single[0]
}
