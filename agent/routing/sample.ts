/**
 * Whether a reading belongs to the share that a route keeps. It hangs on the id alone, so retries,
 * restarts and dead letters sent again choose the same; a smaller share is part of a greater one.
 *
 * Source: FNV-1a (Fowler, Noll, Vo), then the finaliser of MurmurHash3 (A. Appleby): ids differ in
 * their last digits only, and FNV alone leaves those in the low bits.
 *
 * @param share Above 0, at most 1.
 */
export function isKept(eventId: string, share: number): boolean {
  let hash = 0x811c9dc5
  for (let at = 0; at < eventId.length; at++) {
    hash = Math.imul(hash ^ eventId.charCodeAt(at), 0x01000193)
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0 < share * 2 ** 32
}
