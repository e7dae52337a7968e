import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { isLoopbackHost } from '../../../core/runtime/address.ts'

/*
 * scrypt with N = 2^14, r = 8, p = 1 and 16 MiB: what its author gives for logins (100 ms then, C.
 * Percival, 2009). OWASP's Password Storage Cheat Sheet asks for p = 5 at this N, which a fleet of a
 * thousand devices that comes back after a restart would wait for minutes. A digest says how it was
 * made, so that one of another cost is verified as well. Written like PHC strings:
 * $scrypt$ln=14,r=8,p=1$SALT$DIGEST, base64 without padding.
 *
 * Source: RFC 7914.
 */

const COST = { ln: 14, r: 8, p: 1 } as const
const SALT_BYTES = 16
const DIGEST_BYTES = 32
/** Of one derivation. A file that asks for more is refused: anybody could make the agent spend it. */
const MEMORY_BYTES_MAX = 64 << 20
const ROUNDS_MAX = 16
/** MQTT's own limit. */
export const PASSWORD_BYTES_MAX = 65_535

const FORM = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/-]{11,86})\$([\w+/-]{22,86})$/

export interface PasswordHash {
  readonly ln: number
  readonly r: number
  readonly p: number
  readonly salt: Buffer
  readonly digest: Buffer
}

/** @throws {SyntaxError} when it is none, or asks for more than is allowed. */
export function parsePasswordHash(text: string): PasswordHash {
  const [, ln, r, p, salt, digest] = FORM.exec(text) ?? []
  if (digest === undefined) throw new SyntaxError('expected $scrypt$ln=…,r=…,p=…$SALT$DIGEST')
  const hash = {
    ...{ ln: Number(ln), r: Number(r), p: Number(p) },
    salt: Buffer.from(salt, 'base64'),
    digest: Buffer.from(digest, 'base64')
  }
  const isSound = hash.ln >= 10 && hash.r >= 1 && hash.p >= 1
  if (!isSound || 128 * 2 ** hash.ln * hash.r > MEMORY_BYTES_MAX || hash.p > ROUNDS_MAX) {
    throw new SyntaxError(
      'the cost must be ln ≥ 10, 128 · 2^ln · r at most 64 MiB, and p at most 16'
    )
  }
  return hash
}

/** @returns The text that stands in a users' file. Takes some hundredths of a second at the usual cost. */
export async function hashPassword(
  password: string | Uint8Array,
  cost: Pick<PasswordHash, 'ln' | 'r' | 'p'> = COST
): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const digest = await derive(password, { ...cost, salt, digest: Buffer.alloc(DIGEST_BYTES) })
  const { ln, r, p } = cost
  return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(digest)}`
}

/** Verified as well for a user that does not exist, so that time does not tell who does. */
const NOBODY: PasswordHash = {
  ...COST,
  salt: randomBytes(SALT_BYTES),
  digest: randomBytes(DIGEST_BYTES)
}

export interface VerifierOptions {
  /** Derivations at a time; each has a thread of the pool, which the log's syncs share. */
  concurrency?: number
  /** Derivations that wait; a further one is `busy`. */
  waitingMax?: number
  /** Of them for one address that is not this machine. */
  waitingPerAddressMax?: number
  /** Verdicts that are remembered, of either kind. */
  remembered?: number
  derive?: typeof derive
}

export type Verdict = 'right' | 'wrong' | 'busy'

/**
 * Verifies passwords without letting a storm of connections stall anything: few derivations at a
 * time, a bounded queue from which addresses are served in turn, and verdicts remembered under a keyed
 * digest, so that a device that comes back costs microseconds, and one that lost patience meanwhile
 * finds its verdict. Right ones and wrong ones are remembered apart: guesses push nobody out.
 */
export class PasswordVerifier {
  readonly #key = randomBytes(32)
  readonly #options: Required<VerifierOptions>
  readonly #right = new Set<string>()
  readonly #wrong = new Set<string>()
  /** By what they verify: the same question twice is asked once. */
  readonly #underWay = new Map<string, Promise<Verdict>>()
  /** By address, the one whose turn is next first. */
  readonly #queues = new Map<string, (() => void)[]>()
  #waiting = 0
  #running = 0

  constructor(options: VerifierOptions = {}) {
    this.#options = {
      concurrency: availableParallelism() >= 4 ? 2 : 1,
      waitingMax: 1024,
      waitingPerAddressMax: 256,
      remembered: 10_000,
      derive,
      ...options
    }
  }

  get waiting(): number {
    return this.#waiting
  }

  /** @param hash Undefined: there is no such user. */
  verify(
    password: Uint8Array,
    hash: PasswordHash | undefined,
    address: string
  ): Verdict | Promise<Verdict> {
    const against = hash ?? NOBODY
    const question = this.#questionOf(password, against)
    if (this.#right.has(question)) return 'right'
    if (this.#wrong.has(question)) return 'wrong'
    const asked = this.#underWay.get(question)
    if (asked) return asked
    if (this.#running >= this.#options.concurrency && !this.#hasRoom(address)) return 'busy'
    const answer = this.#ask(password, against, question, address).finally(() =>
      this.#underWay.delete(question)
    )
    this.#underWay.set(question, answer)
    return answer
  }

  #hasRoom(address: string): boolean {
    const { waitingMax, waitingPerAddressMax } = this.#options
    if (this.#waiting >= waitingMax) return false
    // Bridges and gateways on the box come from one address.
    if (isLoopbackHost(address)) return true
    return (this.#queues.get(address)?.length ?? 0) < waitingPerAddressMax
  }

  async #ask(
    password: Uint8Array,
    hash: PasswordHash,
    question: string,
    address: string
  ): Promise<Verdict> {
    if (this.#running >= this.#options.concurrency) await this.#turn(address)
    else this.#running++
    try {
      const digest = await this.#options.derive(password, hash)
      const right = timingSafeEqual(digest, hash.digest) && hash !== NOBODY
      this.#remember(right ? this.#right : this.#wrong, question)
      return right ? 'right' : 'wrong'
    } catch {
      // No memory for it now.
      return 'busy'
    } finally {
      // The place is handed on.
      const next = this.#next()
      if (next) next()
      else this.#running--
    }
  }

  #turn(address: string): Promise<void> {
    return new Promise(resolve => {
      const queue = this.#queues.get(address)
      if (queue) queue.push(resolve)
      else this.#queues.set(address, [resolve])
      this.#waiting++
    })
  }

  /** Of the address whose turn it is, who has waited longest; the address queues again. */
  #next(): (() => void) | undefined {
    for (const [address, queue] of this.#queues) {
      this.#queues.delete(address)
      const next = queue.shift()
      if (queue.length > 0) this.#queues.set(address, queue)
      this.#waiting--
      return next
    }
    return undefined
  }

  #remember(verdicts: Set<string>, question: string): void {
    verdicts.add(question)
    if (verdicts.size <= this.#options.remembered) return
    for (const oldest of verdicts) {
      verdicts.delete(oldest)
      return
    }
  }

  #questionOf(password: Uint8Array, { salt, digest }: PasswordHash): string {
    return createHmac('sha256', this.#key)
      .update(salt)
      .update(digest)
      .update(password)
      .digest('base64')
  }
}

function derive(password: string | Uint8Array, hash: PasswordHash): Promise<Buffer> {
  const { ln, r, p, salt, digest } = hash
  const options = { N: 2 ** ln, r, p, maxmem: 2 * MEMORY_BYTES_MAX }
  return new Promise((resolve, reject) => {
    scrypt(password, salt, digest.length, options, (error, key) =>
      error ? reject(error) : resolve(key)
    )
  })
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
