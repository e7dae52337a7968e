/** No batch of Kafka's is larger; a forged one may claim to be. */
const BYTES_MAX = 512 * 1024 * 1024

/** What a decoder has put out so far: it grows, and can be copied from. */
export class DecodedBytes {
  #bytes: Buffer
  #size = 0

  /** @param expected A guess of the size; another one costs a copy. */
  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafe(Math.min(Math.max(expected, 1024), BYTES_MAX))
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#size)
  }

  /** @throws {RangeError} when the source is shorter. */
  append(source: Uint8Array, from: number, length: number): void {
    if (from + length > source.length) throw new RangeError('compressed data ends too early')
    this.#reserve(length)
    this.#bytes.set(source.subarray(from, from + length), this.#size)
    this.#size += length
  }

  /** Repeats bytes that may be among those it writes: a distance of 1 repeats one byte. */
  repeat(distance: number, length: number): void {
    if (distance === 0 || distance > this.#size) {
      throw new RangeError('compressed data points before its beginning')
    }
    this.#reserve(length)
    const to = this.#bytes
    const at = this.#size
    if (distance >= length) to.copyWithin(at, at - distance, at - distance + length)
    else for (let n = at; n < at + length; n++) to[n] = to[n - distance]
    this.#size += length
  }

  #reserve(length: number): void {
    const wanted = this.#size + length
    if (wanted <= this.#bytes.length) return
    if (wanted > BYTES_MAX)
      throw new RangeError(`compressed data is larger than ${BYTES_MAX} bytes`)
    const grown = Buffer.allocUnsafe(Math.min(Math.max(wanted, this.#bytes.length * 2), BYTES_MAX))
    this.bytes.copy(grown)
    this.#bytes = grown
  }
}
