/** What of aedes' client is used, most of it not in its types (aedes 1.2.0, pinned). */
export interface GatedClient {
  /** Null before its CONNECT. */
  readonly id: string | null
  readonly closed: boolean
  readonly broker: ClientRegistry
  /** Packets handed to it and not done; it takes the first one, CONNECT, only when that is alone. */
  _parsingBatch: number
  /** Called as each packet is done; as aedes has it, it reads the next ones. */
  _nextBatch: (error?: Error | null) => void
  readonly _parser: { parse(bytes: Buffer): number }
  _paused?: boolean
  /** Called when the client is welcome. */
  resume(): void
  /** ms, 0 or less without keep-alive; one and a half of what the client asked for. */
  readonly _keepaliveInterval: number
  readonly _keepaliveTimer: NodeJS.Timeout | null
  waitForDrain(done: (error?: Error | null) => void): void
  emit(event: 'error', error: Error): boolean
}

/** What of aedes keeps its clients. */
export interface ClientRegistry {
  /** By id. */
  readonly clients: Readonly<Record<string, unknown>>
  readonly persistence: { delWill(client: { id: string }): Promise<unknown> }
  unregisterClient(client: GatedClient): void
}
