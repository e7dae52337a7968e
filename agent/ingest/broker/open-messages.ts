import { createHash } from 'node:crypto'

export interface OpenMessage {
  topic: string
  payload: string | Uint8Array
}

/** Stands for a message that is on its way to the log. */
const UNSTORED = ''

/**
 * QoS 2 messages that wait for their PUBREL, by session: what they held is kept as a digest only, to
 * tell a repeat from another message under the same id.
 */
export class OpenMessages {
  readonly #sessions = new Map<string, Map<number, string>>()
  openMax: number

  /** @param openMax Of one session. */
  constructor(openMax: number) {
    this.openMax = openMax
  }

  /** Takes a place before the message is stored. @returns false when there is none. */
  reserve(clientId: string, packetId: number): boolean {
    const open = this.#sessions.get(clientId) ?? new Map<number, string>()
    if (open.has(packetId)) return true
    if (open.size >= this.openMax) return false
    open.set(packetId, UNSTORED)
    this.#sessions.set(clientId, open)
    return true
  }

  /** Gives the place back if nothing was stored. */
  release(clientId: string, packetId: number): void {
    if (this.#sessions.get(clientId)?.get(packetId) === UNSTORED) this.close(clientId, packetId)
  }

  open(clientId: string, packetId: number, message: OpenMessage): void {
    const open = this.#sessions.get(clientId) ?? new Map<number, string>()
    open.set(packetId, digestOf(message))
    this.#sessions.set(clientId, open)
  }

  has(clientId: string, packetId: number): boolean {
    return (this.#sessions.get(clientId)?.get(packetId) ?? UNSTORED) !== UNSTORED
  }

  /** Whether it is this very message that is open. */
  holds(clientId: string, packetId: number, message: OpenMessage): boolean {
    return this.#sessions.get(clientId)?.get(packetId) === digestOf(message)
  }

  close(clientId: string, packetId: number): void {
    const open = this.#sessions.get(clientId)
    open?.delete(packetId)
    if (open?.size === 0) this.#sessions.delete(clientId)
  }

  forget(clientId: string): void {
    this.#sessions.delete(clientId)
  }
}

function digestOf({ topic, payload }: OpenMessage): string {
  // A topic holds no U+0000.
  return createHash('sha256').update(topic).update('\0').update(payload).digest('base64')
}
