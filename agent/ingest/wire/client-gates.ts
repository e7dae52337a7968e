import type { Duplex } from 'node:stream'
import { ClientGate } from './client-gate.ts'
import type { GateHooks, GateOptions } from './gate-options.ts'
import type { ClientRegistry, GatedClient } from './gated-client.ts'

const TEND_INTERVAL_MS = 1000
const SETTLE_LOOK_MS = 5
/** So long a large packet may be on its way while others wait for the room that is kept for it. */
const UNFINISHED_MS_MAX = 10_000

/** The gates of all connections, and what is to be done for them as time goes by. */
export class ClientGates {
  readonly #options: GateOptions
  readonly #gates = new Map<object, ClientGate>()
  readonly #timer: NodeJS.Timeout
  /** Closed since the look before the last. */
  #gone: [recently: GatedClient[], before: GatedClient[]] = [[], []]

  #guarded: ClientRegistry | undefined
  #settling = false

  constructor(options: GateOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.tend(), TEND_INTERVAL_MS)
    this.#timer.unref()
  }

  /** Clients that were let in and are connected. */
  get connected(): number {
    let connected = 0
    for (const gate of this.#gates.values()) if (gate.isOpen) connected++
    return connected
  }

  /** Connections that have a gate. */
  get size(): number {
    return this.#gates.size
  }

  open(client: GatedClient, conn: Duplex, hooks: GateHooks): ClientGate {
    if (this.#guarded !== client.broker) guardRegistry(client.broker)
    this.#guarded = client.broker
    const gate = new ClientGate(client, conn, hooks, this.#options)
    if (this.#settling) gate.stop()
    this.#gates.set(client, gate)
    conn.once('close', () => {
      this.#gates.delete(client)
      this.#gone[0].push(client)
    })
    return gate
  }

  /** undefined for a client that is gone, or none of ours (a will, an alert). */
  of(client: object | null): ClientGate | undefined {
    return client === null ? undefined : this.#gates.get(client)
  }

  /** Every second. */
  tend(): void {
    const { budget, clock } = this.#options
    let oldest: ClientGate | undefined
    let oldestSince = clock.monotonic() - UNFINISHED_MS_MAX
    let outgoing = 0
    for (const gate of this.#gates.values()) {
      gate.tend()
      outgoing += gate.outgoingBytes
      const since = gate.unfinishedSince
      if (since === undefined || since > oldestSince) continue
      oldest = gate
      oldestSince = since
    }
    budget.setOutgoing(outgoing)
    if (budget.contended) oldest?.evict()
    for (const client of this.#gone[1]) unregister(client)
    this.#gone = [[], this.#gone[0]]
  }

  /** Takes no message any more, and waits until those that were taken are acknowledged; so long at most. */
  async settle(msMax: number): Promise<void> {
    this.#settling = true
    for (const gate of this.#gates.values()) gate.stop()
    const { clock } = this.#options
    const until = clock.monotonic() + msMax
    do await new Promise(resolve => setTimeout(resolve, SETTLE_LOOK_MS))
    while (clock.monotonic() < until && [...this.#gates.values()].some(gate => !gate.isSettled))
  }

  close(): void {
    clearInterval(this.#timer)
  }
}

/** A client that goes while aedes is welcoming it is registered when it is gone, for ever. */
function unregister(client: GatedClient): void {
  const { broker, id } = client
  if (id === null || broker.clients[id] !== client) return
  broker.unregisterClient(client)
  broker.persistence.delWill({ id }).catch(() => {})
}

/** aedes lets a client that goes take the entry of the one that has come in its place. */
function guardRegistry(broker: ClientRegistry): void {
  const { unregisterClient } = broker
  broker.unregisterClient = client => {
    if (client.id !== null && broker.clients[client.id] === client) {
      unregisterClient.call(broker, client)
    }
  }
}
