const HASH_BITS = 14
const MATCH_BYTES_MIN = 4
/** Both formats can point back so far and no further. */
const DISTANCE_MAX = 65_535
/** LZ4 ends a block with at least so many literals, and begins no match within twelve bytes of its end. */
const LITERALS_AT_END = 5
const NO_MATCH_AT_END = 12

/** A stretch of bytes that are new, and a repetition behind it. */
export type OnMatch = (
  /** Literals are [literalsFrom, matchFrom). */
  literalsFrom: number,
  matchFrom: number,
  /** Of the earlier bytes before `matchFrom`, 1 to 65,535. */
  distance: number,
  /** At least 4. */
  length: number
) => void

/**
 * Finds repetitions the fast way: the last place of each hash of four bytes. The further nothing is
 * found, the longer its steps, so bytes that cannot be compressed cost little.
 *
 * Source: the matcher of LZ4's and Snappy's fast modes (Y. Collet, 2011; Google, 2011).
 *
 * @returns Where the literals begin that are behind the last match.
 */
export function findMatches(
  bytes: Uint8Array,
  from: number,
  end: number,
  onMatch: OnMatch
): number {
  // Places are kept one higher, relative to `from`: 0 is nowhere.
  const places = new Int32Array(1 << HASH_BITS)
  const matchEnd = end - LITERALS_AT_END
  const lastStart = end - NO_MATCH_AT_END
  let literalsFrom = from
  let at = from
  let misses = 0
  while (at <= lastStart) {
    const word = wordAt(bytes, at)
    const slot = Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS)
    let earlier = places[slot] - 1 + from
    places[slot] = at - from + 1
    if (earlier < from || at - earlier > DISTANCE_MAX || wordAt(bytes, earlier) !== word) {
      at += 1 + (misses++ >> 6)
      continue
    }
    misses = 0
    while (at > literalsFrom && earlier > from && bytes[at - 1] === bytes[earlier - 1]) {
      at--
      earlier--
    }
    let length = MATCH_BYTES_MIN
    while (at + length < matchEnd && bytes[at + length] === bytes[earlier + length]) length++
    onMatch(literalsFrom, at, at - earlier, length)
    at += length
    literalsFrom = at
  }
  return literalsFrom
}

function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
}
