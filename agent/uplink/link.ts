/** A link of which nothing is known: what 1 kB/s carries well within the shortest deadline. */
const START_BYTES = 4 * 1024
const BATCH_BYTES_MIN = 1024
/** Where others fill the link, their bytes make every send slow: it is not shrunk below this for it. */
const SHARED_BYTES_MIN = 2 * 1024
const SHARED_MS_MAX = 1_500
/** What a batch may keep the link for: an alert waits behind it. */
const BATCH_MS_MAX = 1_000
const GROWTH = 4
/** A shorter transfer tells only that the link is at least so fast. */
const QUICK_MS = 250
const DEADLINE_MS_MIN = 10_000
/** A send may take so many times longer than the estimate says. */
const DEADLINE_FACTOR = 4
const DOUBLINGS_MAX = 10

/**
 * What the way to Kafka carries, from sends that were answered: its rate, without the round trip, and
 * how large the next batch may be so that it takes a second at most.
 *
 * Begins small and grows four-fold while transfers take less than a quarter of a second, so that no
 * step overshoots the second; a slow send shrinks the batch at once. A batch that took long for
 * another reason (a broker's pause) makes the next few smaller than need be, no more.
 *
 * Bytes are counted before compression, unless called wire bytes; rates are of wire bytes.
 */
export class LinkEstimate {
  readonly #bytesMax: number
  #batchWireBytes = START_BYTES
  /** Wire bytes a ms. */
  #rate: number | undefined
  #roundTripMs: number | undefined
  /** Of questions since the last send: what others have in the link counts too. */
  #lately: number | undefined
  /** Wire bytes a byte: what compression leaves. */
  #squeeze = 1
  /** Sends in a row that were given up. */
  #unanswered = 0

  /** @param bytesMax Of a batch, whatever the link. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** The next batch; a single larger record goes alone. */
  get batchBytes(): number {
    const bytes = Math.floor(this.#batchWireBytes / this.#squeeze)
    return Math.min(this.#bytesMax, Math.max(BATCH_BYTES_MIN, bytes))
  }

  /** What the next batch may have grown to once the one under way is answered. */
  get batchBytesAhead(): number {
    return Math.min(this.#bytesMax, GROWTH * this.batchBytes)
  }

  /** The shortest answer to a small question; 0 while none is known. */
  get roundTripMs(): number {
    return this.#roundTripMs ?? 0
  }

  /** What is known of the rate, wire bytes a second; undefined before the first answer. */
  get bytesPerSecond(): number | undefined {
    return this.#rate === undefined ? undefined : this.#rate * 1000
  }

  /** A small question was answered. */
  heard(ms: number): void {
    this.#roundTripMs = Math.min(this.#roundTripMs ?? ms, ms)
    this.#lately = this.#lately === undefined ? ms : (this.#lately + ms) / 2
  }

  /** @param ms From handing a batch over to its answer. */
  answered(bytes: number, ms: number, wireBytes: number): void {
    this.#unanswered = 0
    // Above 1: what was sent twice, or letters of several bytes.
    const squeeze = Math.min(2, Math.max(0.01, wireBytes / bytes))
    this.#squeeze += (squeeze - this.#squeeze) / 2
    const beforeMs = this.#lately ?? this.roundTripMs
    this.#lately = undefined
    const transferMs = Math.max(1, ms - beforeMs)
    const sample = wireBytes / transferMs
    const grown =
      bytes >= this.batchBytes / 2 ? this.#batchWireBytes * GROWTH : this.#batchWireBytes
    if (transferMs < QUICK_MS) {
      this.#rate = Math.max(this.#rate ?? 0, sample)
      this.#batchWireBytes = Math.min(this.#bytesMax, grown)
      return
    }
    this.#rate = blend(this.#rate, sample)
    const fitting = this.#rate * BATCH_MS_MAX
    const shared = Math.min(SHARED_BYTES_MIN, this.#batchWireBytes)
    const floor = transferMs > SHARED_MS_MAX ? BATCH_BYTES_MIN : shared
    this.#batchWireBytes = Math.min(this.#bytesMax, grown, Math.max(floor, fitting))
  }

  /** A send was given up though the link carried something meanwhile: it may only be slow. */
  unanswered(): void {
    this.#unanswered++
    this.restart()
  }

  /** Connections were lost: what comes back may be another link. */
  restart(): void {
    this.#batchWireBytes = Math.min(this.#batchWireBytes, START_BYTES)
    this.#roundTripMs = undefined
    this.#lately = undefined
  }

  /** How long a send is thought to take; 0 while nothing is known. */
  expectedMs(bytes: number): number {
    return this.roundTripMs + (this.#rate ? (bytes * this.#squeeze) / this.#rate : 0)
  }

  /** When a send is to be given up. Doubled for each in a row that was, with the link alive. */
  deadlineMs(bytes: number): number {
    const ms = Math.max(DEADLINE_MS_MIN, DEADLINE_FACTOR * this.expectedMs(bytes))
    return ms * 2 ** Math.min(DOUBLINGS_MAX, this.#unanswered)
  }
}

/** Falls at once, rises half-way, and smooths what is noise. */
function blend(rate: number | undefined, sample: number): number {
  if (rate === undefined || sample < rate * 0.75) return sample
  return (rate + sample) / 2
}
