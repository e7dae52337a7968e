import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { Prng } from '../core/runtime/prng.ts'

/**
 * A state in a compacted topic, as pieces of bounded size, of which only new ones are written.
 *
 * The bytes are cut where their content says so, hence a change moves no border but its own: series
 * stand in the order in which they were last heard, so those unheard since the last time are whole
 * pieces at the front that Kafka has already. Pieces are kept under numbers that are used again.
 *
 *   key `…`     the marker: JSON, which numbers in which order make the state, and where it belongs
 *   key `…/n`   piece n
 *
 * Marker and pieces are written in one transaction: whoever reads sees all of them, or none.
 *
 * Source of the cutting: W. Xia et al., FastCDC, USENIX ATC 2016 (gear hash).
 */
export interface StateRecord {
  key: string
  /** null: the piece is not needed any more. */
  value: Buffer | null
}

/** What the state belongs to. */
export interface StatePlace {
  /** Of the first record that the state does not know yet. */
  position: number
  /** Latest event time seen, epoch ms; for whoever watches. */
  watermark: number | null
}

interface Marker extends StatePlace {
  version: 1
  bytes: number
  crc: number
  pieces: number[]
}

const PIECE_BYTES_MIN = 8 << 10
/** Past the minimum, one byte in so many is a border. */
const BORDER_MASK = (16 << 10) - 1
const PIECE_BYTES_MAX = 128 << 10

export class StateChunks {
  readonly #key: string
  /** Number of each piece that Kafka has, by its content. */
  #numbers = new Map<string, number>()
  /** Numbers that Kafka has, whatever their content. */
  #kept = new Set<number>()

  /** @param key Of the marker: no key of another state begins with it and a slash. */
  constructor(key: string) {
    this.#key = key
  }

  /** What is to be written so that Kafka has this state. Once written; if not, begin with `read`. */
  write(state: Uint8Array, place: StatePlace): StateRecord[] {
    const records: StateRecord[] = []
    const pieces = cut(state).map(bytes => ({ bytes, digest: digestOf(bytes) }))
    const numbers = new Map<string, number>()
    for (const { digest } of pieces) {
      const number = this.#numbers.get(digest)
      if (number !== undefined) numbers.set(digest, number)
    }
    const used = new Set(numbers.values())
    let free = 0
    for (const { bytes, digest } of pieces) {
      if (numbers.has(digest)) continue
      while (used.has(free)) free++
      used.add(free)
      numbers.set(digest, free)
      records.push({ key: this.#keyOf(free), value: bytes })
    }
    for (const number of this.#kept) {
      if (!used.has(number)) records.push({ key: this.#keyOf(number), value: null })
    }
    this.#numbers = numbers
    this.#kept = used
    const marker: Marker = {
      ...{ version: 1, ...place, bytes: state.length, crc: crc32(state) },
      pieces: pieces.map(({ digest }) => numbers.get(digest) as number)
    }
    records.push({ key: this.#key, value: Buffer.from(JSON.stringify(marker)) })
    return records
  }

  /**
   * Reads the state again from all that the topic holds.
   *
   * @param records The latest of each key; those of other states are passed over.
   * @returns undefined: there is none; 'damaged': there is, and it cannot be used.
   */
  read(
    records: ReadonlyMap<string, Buffer>
  ): (StatePlace & { state: Buffer }) | 'damaged' | undefined {
    this.#numbers = new Map()
    this.#kept = new Set()
    const prefix = `${this.#key}/`
    for (const [key, value] of records) {
      if (!key.startsWith(prefix)) continue
      const number = Number(key.slice(prefix.length))
      this.#kept.add(number)
      this.#numbers.set(digestOf(value), number)
    }
    const value = records.get(this.#key)
    return value && assemble(value, n => records.get(this.#keyOf(n)))
  }

  /** Whether a record of this key is of this state. */
  owns(key: string): boolean {
    return key === this.#key || key.startsWith(`${this.#key}/`)
  }

  #keyOf(number: number): string {
    return `${this.#key}/${number}`
  }
}

function assemble(
  markerBytes: Buffer,
  pieceOf: (number: number) => Buffer | undefined
): (StatePlace & { state: Buffer }) | 'damaged' {
  try {
    const marker = JSON.parse(markerBytes.toString('utf8')) as Marker
    const { version, position, watermark, pieces, bytes, crc } = marker
    if (version !== 1 || !Number.isSafeInteger(position) || position < 0) return 'damaged'
    const found = pieces.map(pieceOf)
    if (!found.every(piece => piece !== undefined)) return 'damaged'
    const state = Buffer.concat(found)
    if (state.length !== bytes || crc32(state) !== crc) return 'damaged'
    return { position, watermark: watermark ?? null, state }
  } catch {
    return 'damaged'
  }
}

/** A number for each byte; any will do, as long as it stays. */
const GEAR = ((): Uint32Array => {
  const prng = new Prng(0x6c1de)
  return Uint32Array.from({ length: 256 }, () => prng.uint32())
})()

function cut(bytes: Uint8Array): Buffer[] {
  const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const pieces: Buffer[] = []
  for (let first = 0; first < whole.length; ) {
    const end = borderAfter(whole, first)
    pieces.push(whole.subarray(first, end))
    first = end
  }
  return pieces
}

function borderAfter(bytes: Buffer, first: number): number {
  const last = Math.min(bytes.length, first + PIECE_BYTES_MAX)
  let hash = 0
  for (let at = Math.min(last, first + PIECE_BYTES_MIN); at < last; at++) {
    hash = ((hash << 1) + GEAR[bytes[at]]) | 0
    // The upper bits have seen the last 32 bytes.
    if (((hash >>> 16) & BORDER_MASK) === 0) return at + 1
  }
  return last
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64')
}
