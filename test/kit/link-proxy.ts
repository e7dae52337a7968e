import { once } from 'node:events'
import net from 'node:net'
import { type LinkPace, LinkQueue } from './link-queue.ts'

export type LinkState =
  /** Bytes go first in, first out, whatever connection they are from; the rate is of each direction. */
  | ({ kind: 'open' } & LinkPace)
  /** The port is closed, connections are reset. */
  | { kind: 'refused' }
  /** Connections are accepted, then reset. */
  | { kind: 'reset' }
  /**
   * Packets vanish in both directions. Connections that existed go on when the link opens again, as
   * TCP's would; new ones hang until then. (Unlike packets that vanish, the kernel still welcomes
   * them: what hangs is their first request.)
   *
   * With `forget`, none of them goes on: the network has lost what it knew of connections, or TCP's
   * next try is too far away. The server's side is closed when the link opens, the client is not told.
   */
  | { kind: 'black_hole'; forget?: boolean }
  /**
   * The server's side of connections is closed, the client is never told, also not after the link has
   * opened again. New ones hang until then.
   */
  | { kind: 'half_open' }

/** A loopback TCP proxy; all its connections share one link. */
export interface LinkProxy {
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly address: string
  /** From clients, that have arrived at the server's side. */
  readonly bytesUp: number
  readonly bytesDown: number
  /** Clients connected now, those that hang or were not told included. */
  readonly connections: number
  /** Resolves once the state holds. One call at a time. */
  set(state: LinkState): Promise<void>
  close(): Promise<void>
}

export type LinkTarget = { host?: string; port: number } | (() => { host?: string; port: number })

/**
 * @param options.port Of the proxy; when absent one that no outgoing connection can be given while
 *   the port is closed.
 */
export async function startLinkProxy(
  target: LinkTarget,
  options: { port?: number; state?: LinkState } = {}
): Promise<LinkProxy> {
  const link = new Link(typeof target === 'function' ? target : () => target)
  await link.listen(options.port)
  await link.set(options.state ?? { kind: 'open' })
  return link
}

/** One client and its way to the server. */
interface Way {
  client: net.Socket
  /** Not there while the connection hangs, nor when the client was not told of its end. */
  server?: net.Socket
  /** Half open: the client was not told, nothing goes through any more. */
  dead: boolean
  /** The handshake's round trip is over. */
  settled: boolean
}

class Link implements LinkProxy {
  port = 0
  readonly #target: () => { host?: string; port: number }
  readonly #ways = new Set<Way>()
  readonly #up = new LinkQueue(() => this.#flowAll())
  readonly #down = new LinkQueue(() => this.#flowAll())
  #server: net.Server | undefined
  #state: LinkState = { kind: 'open' }

  constructor(target: () => { host?: string; port: number }) {
    this.#target = target
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  get bytesUp(): number {
    return this.#up.crossedBytes
  }

  get bytesDown(): number {
    return this.#down.crossedBytes
  }

  get connections(): number {
    return this.#ways.size
  }

  async set(state: LinkState): Promise<void> {
    const before = this.#state
    this.#state = state
    if (state.kind === 'refused' || state.kind === 'reset') this.#resetAll()
    if (state.kind === 'half_open') for (const way of this.#ways) this.#forget(way)
    if (state.kind === 'open') {
      if (before.kind === 'black_hole' && before.forget) this.#forgetAll()
      for (const way of this.#ways) if (!way.server && !way.dead) this.#connect(way)
      this.#up.release(state)
      this.#down.release(state)
    } else {
      this.#up.hold()
      this.#down.hold()
    }
    this.#flowAll()
    if (state.kind === 'refused') await this.#unlisten()
    else await this.listen(this.port)
  }

  async close(): Promise<void> {
    this.#state = { kind: 'refused' }
    this.#resetAll()
    this.#up.hold()
    this.#down.hold()
    await this.#unlisten()
  }

  async listen(port = 0): Promise<void> {
    if (this.#server) return
    for (let attempt = 0; ; attempt++) {
      const server = net.createServer({ allowHalfOpen: true, noDelay: true }, client =>
        this.#accept(client)
      )
      server.listen(port || portBelowEphemeral(), '127.0.0.1')
      try {
        await once(server, 'listening')
        this.#server = server
        this.port = (server.address() as net.AddressInfo).port
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || attempt >= 20) throw error
        await new Promise(resolve => setTimeout(resolve, port ? 100 : 0))
      }
    }
  }

  async #unlisten(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server) await new Promise(resolve => server.close(resolve))
  }

  #accept(client: net.Socket): void {
    client.on('error', () => {})
    if (this.#state.kind === 'reset' || this.#state.kind === 'refused') {
      client.resetAndDestroy()
      return
    }
    client.pause()
    const way: Way = { client, dead: false, settled: false }
    this.#ways.add(way)
    client.on('data', bytes => {
      if (!way.dead) this.#up.push(bytes, arrived => this.#write(way, way.server, arrived))
    })
    client.on('end', () => {
      // The bytes are over; the answer to them may still come.
      if (way.dead) client.destroy()
      else this.#up.pushClose(() => way.server?.end())
    })
    client.on('drain', () => this.#flow(way))
    client.on('close', failed => {
      this.#ways.delete(way)
      if (!way.dead) this.#up.pushClose(() => closeAlike(way.server, failed))
    })
    if (this.#state.kind === 'open') this.#connect(way)
  }

  #connect(way: Way): void {
    const { host = '127.0.0.1', port } = this.#target()
    const { client } = way
    const server = net.connect({ host, port, noDelay: true, allowHalfOpen: true })
    way.server = server
    server.pause()
    server.on('error', () => {})
    server.on('data', bytes => {
      if (!way.dead) this.#down.push(bytes, arrived => this.#write(way, way.client, arrived))
    })
    server.on('end', () => {
      if (!way.dead) this.#down.pushClose(() => closeAlike(way.dead ? undefined : client, false))
    })
    server.on('drain', () => this.#flow(way))
    server.on('close', failed => {
      if (!way.dead) this.#down.pushClose(() => closeAlike(way.dead ? undefined : client, failed))
    })
    const roundTripMs = this.#state.kind === 'open' ? (this.#state.roundTripMs ?? 0) : 0
    const settle = (): void => {
      way.settled = true
      this.#flow(way)
    }
    if (roundTripMs > 0) setTimeout(settle, roundTripMs)
    else settle()
  }

  #write(way: Way, socket: net.Socket | undefined, bytes: Buffer): void {
    if (way.dead || !socket?.writable) return
    if (!socket.write(bytes)) this.#flow(way)
  }

  #flowAll(): void {
    for (const way of this.#ways) this.#flow(way)
  }

  /** Lets a side be read while the link, and the other side, can take it. */
  #flow(way: Way): void {
    const { client, server, dead, settled } = way
    const open = this.#state.kind === 'open' && settled && !dead
    // What a forgotten client sends vanishes; it is read to see its end.
    steer(client, dead || (open && !this.#up.full && !server?.writableNeedDrain))
    if (server) steer(server, open && !this.#down.full && !client.writableNeedDrain)
  }

  #forget(way: Way): void {
    if (!way.server) return
    way.dead = true
    way.server.destroy()
    way.server = undefined
  }

  #forgetAll(): void {
    for (const way of this.#ways) {
      this.#forget(way)
      way.dead = true
    }
    this.#up.clear()
    this.#down.clear()
  }

  #resetAll(): void {
    for (const way of this.#ways) {
      way.dead = true
      way.client.resetAndDestroy()
      way.server?.resetAndDestroy()
    }
    this.#ways.clear()
    this.#up.clear()
    this.#down.clear()
  }
}

function closeAlike(socket: net.Socket | undefined, failed: boolean): void {
  if (!socket || socket.destroyed) return
  if (failed) socket.resetAndDestroy()
  else socket.end()
}

function steer(socket: net.Socket, read: boolean): void {
  if (socket.destroyed || socket.isPaused() === !read) return
  if (read) socket.resume()
  else socket.pause()
}

/**
 * A port that the kernel gives to nobody (Linux gives 32768 and above): while it is closed, no client
 * can be connected from it, not even to itself.
 */
function portBelowEphemeral(): number {
  return 12_000 + Math.floor(Math.random() * 20_000)
}
