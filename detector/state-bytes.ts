/** Marks the length of a text that UTF-8 cannot hold: it has half a surrogate pair. */
const UTF16 = 0x8000_0000

/**
 * Writes records of a state, one after the other: 32-bit words of the machine (little-endian), so
 * that a series' numbers are copied as they lie in memory. Every field begins at a multiple of four;
 * what is left over is 0. Hence equal records are equal bytes wherever they stand.
 */
export class StateWriter {
  readonly words: Int32Array
  readonly #bytes: Buffer
  readonly #view: DataView
  /** Where the next field goes: a multiple of 4. */
  at = 0

  /** @param bytesMax Room for all that will be written. */
  constructor(bytesMax: number) {
    // Pages that are not written are not taken from the machine.
    this.#bytes = Buffer.allocUnsafeSlow(padded(bytesMax))
    this.#view = new DataView(this.#bytes.buffer)
    this.words = new Int32Array(this.#bytes.buffer)
  }

  /** What a text takes at most. */
  static textBytesMax(text: string): number {
    return 8 + 3 * text.length
  }

  count(value: number): void {
    this.#view.setUint32(this.at, value, true)
    this.at += 4
  }

  number(value: number): void {
    this.#view.setFloat64(this.at, value, true)
    this.at += 8
  }

  text(text: string): void {
    const wide = !text.isWellFormed()
    const first = this.at + 4
    const length = this.#bytes.write(text, first, wide ? 'utf16le' : 'utf8')
    this.#view.setUint32(this.at, wide ? length + UTF16 : length, true)
    this.at = first + padded(length)
    this.#bytes.fill(0, first + length, this.at)
  }

  bytes(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.at)
    const end = this.at + bytes.length
    this.at += padded(bytes.length)
    this.#bytes.fill(0, end, this.at)
  }

  /** @returns Where in `words` so many words are to be written. */
  take(words: number): number {
    const at = this.at / 4
    this.at += 4 * words
    return at
  }

  end(): Buffer {
    return this.#bytes.subarray(0, this.at)
  }
}

/** Reads what `StateWriter` wrote. Throws a RangeError where the bytes end too soon. */
export class StateReader {
  readonly words: Int32Array
  readonly #bytes: Buffer
  readonly #view: DataView
  at = 0

  constructor(input: Uint8Array) {
    const aligned = input.byteOffset % 4 === 0 ? input : Uint8Array.from(input)
    const { buffer, byteOffset, byteLength } = aligned
    this.#bytes = Buffer.from(buffer, byteOffset, byteLength)
    this.#view = new DataView(buffer, byteOffset, byteLength)
    this.words = new Int32Array(buffer, byteOffset, Math.floor(byteLength / 4))
  }

  get left(): number {
    return this.#bytes.length - this.at
  }

  /** @param bytesEach Least that each of what is counted takes: no count makes room for nothing. */
  count(bytesEach = 0): number {
    const value = this.#view.getUint32(this.at, true)
    this.at += 4
    if (value * bytesEach > this.left) throw new RangeError('more is counted than there is')
    return value
  }

  /** @returns A finite number. */
  number(): number {
    const value = this.#view.getFloat64(this.at, true)
    this.at += 8
    if (!Number.isFinite(value)) throw new RangeError('not a number')
    return value
  }

  text(): string {
    const word = this.count()
    const wide = word >= UTF16
    const length = wide ? word - UTF16 : word
    const first = this.#skip(length)
    return this.#bytes.toString(wide ? 'utf16le' : 'utf8', first, first + length)
  }

  bytes(length: number): Buffer {
    const first = this.#skip(length)
    return this.#bytes.subarray(first, first + length)
  }

  /** @returns Where in `words` so many words stand. */
  take(words: number): number {
    return this.#skip(4 * words) / 4
  }

  #skip(length: number): number {
    const first = this.at
    if (padded(length) > this.left) throw new RangeError('the bytes end too soon')
    this.at += padded(length)
    return first
  }
}

/** Words between arrays of numbers: quicker than their own methods for so few. */
export function copyWords(
  from: Int32Array,
  fromAt: number,
  to: Int32Array,
  toAt: number,
  count: number
): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i]
}

export function allFinite(
  numbers: Float64Array | Float32Array,
  first: number,
  count: number
): boolean {
  for (let i = first; i < first + count; i++) if (!Number.isFinite(numbers[i])) return false
  return true
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 4) * 4
}
