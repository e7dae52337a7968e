/** What an open link is like; both are without limit or delay when absent. */
export interface LinkPace {
  /** Of one direction, shared by all connections. */
  bytesPerSecond?: number
  /** Half of it each way. */
  roundTripMs?: number
}

interface Parcel {
  bytes: Buffer
  arrive: (bytes: Buffer) => void
  arriveAt: number
}

const NOTHING = Buffer.alloc(0)
/** One frame of Ethernet. */
const PARCEL_BYTES_MAX = 1460
const PARCEL_BYTES_MIN = 64
/** What the link's modem buffers, beside what is under way. */
const MODEM_BYTES_MAX = 64 * 1024
const UNDER_WAY_BYTES_MAX = 16 * 1024 * 1024

/**
 * One direction of a link: first in, first out, whatever connection it is from. Held, nothing moves
 * and nothing is lost, as TCP sends again what has vanished.
 */
export class LinkQueue {
  /** Have arrived at the other end. */
  crossedBytes = 0
  #parcels: Parcel[] = []
  #queuedBytes = 0
  #pace: LinkPace = {}
  #held = false
  #freeAt = 0
  #timer: NodeJS.Timeout | undefined
  readonly #onRoom: () => void

  /** @param onRoom Called when the queue is no longer full. */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom
  }

  /** Whoever sends should wait for `onRoom`. */
  get full(): boolean {
    const { bytesPerSecond, roundTripMs = 0 } = this.#pace
    const underWay = bytesPerSecond ? (bytesPerSecond * roundTripMs) / 2000 : UNDER_WAY_BYTES_MAX
    return this.#queuedBytes > MODEM_BYTES_MAX + underWay
  }

  push(bytes: Buffer, arrive: (bytes: Buffer) => void): void {
    this.#queuedBytes += bytes.length
    for (let at = 0; at < bytes.length; at += this.#parcelBytes()) {
      this.#add(bytes.subarray(at, at + this.#parcelBytes()), arrive)
    }
    this.#run()
  }

  /** A close, behind the bytes that were sent before it. */
  pushClose(arrive: () => void): void {
    this.#add(NOTHING, arrive)
    this.#run()
  }

  hold(): void {
    this.#held = true
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** What waits begins its way now, at the new pace. */
  release(pace: LinkPace): void {
    const waiting = this.#parcels
    this.hold()
    this.#held = false
    this.#pace = pace
    this.#parcels = []
    this.#freeAt = 0
    for (const { bytes, arrive } of waiting) {
      for (let at = 0; at === 0 || at < bytes.length; at += this.#parcelBytes()) {
        this.#add(bytes.subarray(at, at + this.#parcelBytes()), arrive)
      }
    }
    this.#run()
  }

  /** What is under way is lost, with its connections. */
  clear(): void {
    this.#parcels = []
    this.#queuedBytes = 0
  }

  #parcelBytes(): number {
    const { bytesPerSecond } = this.#pace
    if (!bytesPerSecond) return Number.POSITIVE_INFINITY
    // Slow links are smooth too: at most a twentieth of a second a parcel.
    const even = Math.floor(bytesPerSecond / 20)
    return Math.max(PARCEL_BYTES_MIN, Math.min(PARCEL_BYTES_MAX, even))
  }

  #add(bytes: Buffer, arrive: (bytes: Buffer) => void): void {
    const { bytesPerSecond = Number.POSITIVE_INFINITY, roundTripMs = 0 } = this.#pace
    this.#freeAt =
      Math.max(this.#freeAt, performance.now()) + (bytes.length / bytesPerSecond) * 1000
    this.#parcels.push({ bytes, arrive, arriveAt: this.#freeAt + roundTripMs / 2 })
  }

  #run(): void {
    if (this.#held || this.#timer) return
    const now = performance.now()
    const wasFull = this.full
    while (!this.#held && this.#parcels.length > 0) {
      const { bytes, arrive, arriveAt } = this.#parcels[0]
      if (arriveAt > now) {
        this.#wakeIn(arriveAt - now)
        break
      }
      this.#parcels.shift()
      this.#queuedBytes -= bytes.length
      this.crossedBytes += bytes.length
      arrive(bytes)
    }
    if (wasFull && !this.full) this.#onRoom()
  }

  #wakeIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#run()
    }, Math.ceil(ms))
  }
}
