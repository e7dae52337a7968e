const SEED = 0x9747b28c
const FACTOR = 0x5bd1e995

/**
 * Replaces `producer/partitioners/default/murmur2`, which computes with BigInt: 2 µs and ten objects a
 * key. The same hash, hence the same partition, as that of Kafka's Java client.
 *
 * Source: org.apache.kafka.common.utils.Utils.murmur2.
 *
 * @returns A signed 32-bit number.
 */
export function murmur2(key: unknown): number {
  const data = Buffer.isBuffer(key) ? key : Buffer.from(String(key))
  const whole = data.length & ~3
  let hash = SEED ^ data.length
  for (let at = 0; at < whole; at += 4) {
    const word = data[at] | (data[at + 1] << 8) | (data[at + 2] << 16) | (data[at + 3] << 24)
    const mixed = Math.imul(word, FACTOR)
    hash = Math.imul(hash, FACTOR) ^ Math.imul(mixed ^ (mixed >>> 24), FACTOR)
  }
  const rest = data.length - whole
  if (rest === 3) hash ^= data[whole + 2] << 16
  if (rest >= 2) hash ^= data[whole + 1] << 8
  if (rest >= 1) hash = Math.imul(hash ^ data[whole], FACTOR)
  hash = Math.imul(hash ^ (hash >>> 13), FACTOR)
  return hash ^ (hash >>> 15)
}
