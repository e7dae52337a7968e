import type { Duplex } from 'node:stream'
import type { Logger } from '../../../core/runtime/log.ts'
import { type Access, accessOf } from './acl.ts'
import type { Refusal } from './admission.ts'
import type { MqttConfig } from './config.ts'
import { Identification, type Identified, type UsersFileStatus } from './identification.ts'
import type { Peer } from './listener.ts'
import { Subscriptions } from './subscriptions.ts'
import { TokenBucket } from './token-bucket.ts'

/** What of a client is used here. */
export interface GuestClient {
  readonly id: string
  readonly closed: boolean
  readonly conn: Pick<Duplex, 'destroy' | 'destroyed'>
}

interface Guest {
  readonly peer: Peer
  identified?: Identified
  access?: Access
  messages?: TokenBucket | undefined
  bytes?: TokenBucket | undefined
}

export interface GuestsHooks {
  /** It would not be let in any more: to be disconnected. */
  onRevoked(client: GuestClient): void
  logger: Logger
}

/** The clients that are connected: who each is, what it may do, how fast, and what it listens to. */
export class Guests {
  readonly subscriptions: Subscriptions
  readonly #hooks: GuestsHooks
  readonly #identification: Identification
  /** Beyond the connection: a will is looked at when that has gone. */
  readonly #guests = new WeakMap<object, Guest>()
  readonly #connected = new Set<GuestClient>()
  #options: MqttConfig

  /** @throws {OperationalError} CONFIG_INVALID when the users' file cannot be used. */
  constructor(options: MqttConfig, hooks: GuestsHooks) {
    this.#options = options
    this.#hooks = hooks
    this.#identification = new Identification(options, hooks.logger, () => this.#endRevoked())
    this.subscriptions = new Subscriptions(options)
  }

  get usersFile(): UsersFileStatus | undefined {
    return this.#identification.status
  }

  welcome(client: GuestClient, peer: Peer, conn: Duplex): void {
    this.#guests.set(client, { peer })
    this.#connected.add(client)
    conn.once('close', () => {
      this.#connected.delete(client)
      this.subscriptions.leave(client)
    })
  }

  /** Its CONNECT is there. */
  arrived(client: GuestClient): void {
    this.#guests.get(client)?.peer.arrived()
  }

  /** @returns Why it is not let in. */
  async identify(
    client: GuestClient,
    username: string | undefined,
    password: Uint8Array | undefined,
    /** Whether this user may use the client id. */
    mayUseId: (user: string | undefined) => boolean
  ): Promise<'credentials' | 'busy' | 'client_id' | undefined> {
    const guest = this.#guests.get(client)
    if (!guest) return 'busy'
    const { address, local, certificateUser } = guest.peer
    const shown = { username, password, certificateUser, address, local }
    const identified = await this.#identification.identify(shown)
    if (typeof identified === 'string') return identified
    if (!mayUseId(identified.user)) return 'client_id'
    guest.identified = identified
    this.#grant(client, guest)
    return undefined
  }

  identified(client: object): Identified | undefined {
    return this.#guests.get(client)?.identified
  }

  mayPublish(client: object, topic: string): boolean {
    return this.#guests.get(client)?.access?.mayPublish(topic) ?? false
  }

  /** @returns Why it may not; undefined, and it has its place. */
  refusesSubscription(client: GuestClient, filter: string): Refusal | undefined {
    const { topicBytesMax, topicLevelsMax } = this.#options
    if (Buffer.byteLength(filter) > topicBytesMax) return 'topic_too_long'
    if (filter.split('/').length > topicLevelsMax) return 'topic_too_deep'
    if (!this.#guests.get(client)?.access?.maySubscribe(filter)) return 'subscribe_denied'
    // One that is gone would hold its place for ever.
    if (client.closed || client.conn.destroyed) return 'subscriptions'
    return this.subscriptions.add(client, filter) ? undefined : 'subscriptions'
  }

  /** Counts a message. @returns For how long the client is to be read no further, ms. */
  take(client: object, bytes: number): number {
    const guest = this.#guests.get(client)
    if (!guest?.messages && !guest?.bytes) return 0
    const now = performance.now()
    return Math.max(guest.messages?.take(1, now) ?? 0, guest.bytes?.take(bytes, now) ?? 0)
  }

  /** @throws {OperationalError} CONFIG_INVALID, and all is as it was. */
  reconfigure(options: MqttConfig): void {
    this.#identification.reconfigure(options)
    this.#options = options
    this.subscriptions.reconfigure(options)
    for (const client of this.#connected) {
      const guest = this.#guests.get(client)
      if (guest?.identified) this.#grant(client, guest)
    }
    this.#endRevoked()
  }

  /** Reads the users' file now, instead of in a few seconds. */
  reloadUsers(): void {
    this.#identification.reload()
  }

  close(): void {
    this.#identification.close()
  }

  /** Works out what a client that is identified may do, and how fast. */
  #grant({ id }: GuestClient, guest: Guest): void {
    const { acl, messageRateMax, byteRateMax } = this.#options
    const user = guest.identified?.user
    const now = performance.now()
    guest.access = accessOf(acl, { clientId: id, user, local: guest.peer.local })
    guest.messages = messageRateMax === null ? undefined : new TokenBucket(messageRateMax, now)
    guest.bytes = byteRateMax === null ? undefined : new TokenBucket(byteRateMax, now)
  }

  /** Who would not be let in any more goes, and who listens to what it may not. */
  #endRevoked(): void {
    for (const client of this.#connected) {
      const { identified, access, peer } = this.#guests.get(client) ?? {}
      if (!identified || !access || !peer) continue
      const listens = [...this.subscriptions.filtersOf(client)]
      const stays =
        this.#identification.stillKnown(identified, peer.local) &&
        listens.every(filter => access.maySubscribe(filter))
      if (!stays) this.#hooks.onRevoked(client)
    }
  }
}
