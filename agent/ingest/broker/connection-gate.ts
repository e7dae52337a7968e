import { isIPv6 } from 'node:net'
import { isLoopbackHost } from '../../../core/runtime/address.ts'
import type { Refusal } from './admission.ts'
import { TokenBucket } from './token-bucket.ts'

export interface ConnectionGateOptions {
  connectionsMax: number
  connectionsPerAddressMax: number
  connectRateMax: number
  connectRatePerAddressMax: number
}

/** Addresses whose rate is remembered; beyond, those that are idle are forgotten first. */
const ADDRESSES_MAX = 10_000

/**
 * Which connections are taken, before a byte of them is read. This machine has a limit only with all
 * others: its gateways and bridges come from one address.
 */
export class ConnectionGate {
  #options: ConnectionGateOptions
  readonly #now: () => number
  #rate: TokenBucket
  readonly #rates = new Map<string, TokenBucket>()
  readonly #byAddress = new Map<string, number>()
  #connections = 0

  /** @param now Monotonic, ms. */
  constructor(options: ConnectionGateOptions, now: () => number) {
    this.#options = options
    this.#now = now
    this.#rate = new TokenBucket(options.connectRateMax, now())
  }

  get connections(): number {
    return this.#connections
  }

  /** From the next connection on. */
  reconfigure(options: ConnectionGateOptions): void {
    this.#options = options
    this.#rate = new TokenBucket(options.connectRateMax, this.#now())
    this.#rates.clear()
  }

  /**
   * @param address As `plainAddress` gives it.
   * @returns How to give the place back, to be called once; or why there is none.
   */
  enter(address: string): (() => void) | Refusal {
    const options = this.#options
    if (this.#connections >= options.connectionsMax) return 'connections'
    const key = networkOf(address)
    const ofAddress = this.#byAddress.get(key) ?? 0
    if (!isLoopbackHost(address)) {
      if (ofAddress >= options.connectionsPerAddressMax) return 'connections_per_address'
      const now = this.#now()
      // One address must not use up what all share: its own rate is asked first.
      if (!this.#rateOf(key, now).tryTake(now)) return 'connect_rate'
      if (!this.#rate.tryTake(now)) return 'connect_rate'
    }
    this.#connections++
    this.#byAddress.set(key, ofAddress + 1)
    return () => this.#leave(key)
  }

  #leave(key: string): void {
    this.#connections--
    const left = (this.#byAddress.get(key) ?? 1) - 1
    if (left > 0) this.#byAddress.set(key, left)
    else this.#byAddress.delete(key)
  }

  #rateOf(key: string, now: number): TokenBucket {
    let bucket = this.#rates.get(key)
    if (!bucket) {
      if (this.#rates.size >= ADDRESSES_MAX) this.#forget(now)
      bucket = new TokenBucket(this.#options.connectRatePerAddressMax, now)
      this.#rates.set(key, bucket)
    }
    return bucket
  }

  #forget(now: number): void {
    for (const [key, bucket] of this.#rates) if (bucket.isFull(now)) this.#rates.delete(key)
    // All of them busy: the total is limited as well.
    if (this.#rates.size >= ADDRESSES_MAX) this.#rates.clear()
  }
}

/** Without the IPv6 form of an IPv4 address; empty when the socket is gone already. */
export function plainAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '') ?? ''
}

/** An IPv6 host has a whole /64 to choose addresses from. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const [head, tail] = address.split('%')[0].split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after]
  return groups.slice(0, 4).join(':')
}
