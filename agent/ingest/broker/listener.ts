import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { formatAddress, isLoopbackHost } from '../../../core/runtime/address.ts'
import { systemCode } from '../../../core/runtime/errors.ts'
import { openListener } from '../../../core/runtime/listen.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import type { Refusal } from './admission.ts'
import type { ListenerConfig } from './config.ts'
import { plainAddress } from './connection-gate.ts'
import { type CertificateStatus, certificateUser, ServerCertificate } from './server-certificate.ts'
import { WebsocketDoor } from './websocket.ts'

/** Who is at the other end of a connection, as far as the network tells. */
export interface Peer {
  /** IPv4 or IPv6. */
  readonly address: string
  /** On this machine. */
  readonly local: boolean
  /** User name that its certificate stands for, verified. */
  readonly certificateUser?: string
  /** To be called when its CONNECT is there: ends the wait for it. */
  arrived(): void
  /** Its place is kept as long as this stream of what it has sent is open, too. */
  holds(stream: Duplex): void
}

export interface ListenerStatus {
  address: string
  protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  certificate?: CertificateStatus
}

export interface ListenerOptions {
  /** From the connection to its CONNECT. */
  connectTimeoutMs: number
  /** Of one WebSocket message. */
  messageBytesMax: number
  /** Takes a place, or says why there is none; what it returns gives the place back. */
  enter(address: string): (() => void) | Refusal
  onStream(stream: Duplex, peer: Peer): void
  onRefused(reason: Refusal): void
  logger: Logger
  /** How often the files of the certificate are looked at. */
  lookIntervalMs?: number
}

/** Finds connections whose other end is gone without a word. */
const TCP_KEEP_ALIVE_MS = 60_000

/**
 * One address that clients connect to, bare or by TLS, WebSocket, both: hands every connection on as
 * a stream of MQTT bytes, and closes what does not get so far in time.
 */
export class Listener {
  readonly #config: ListenerConfig
  readonly #options: ListenerOptions
  readonly #server: net.Server
  readonly #certificate: ServerCertificate | undefined
  readonly #tls: tls.Server | undefined
  readonly #websocket: WebsocketDoor | undefined
  readonly #sockets = new Set<net.Socket>()
  /** In their TLS handshake, by address and port. */
  readonly #securing = new Map<string, Peer>()
  /** In their upgrade to WebSocket. */
  readonly #upgrading = new WeakMap<Duplex, Peer>()

  /** @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN, LISTEN_FAILED, CONFIG_INVALID. */
  static async open(config: ListenerConfig, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(config, options)
    try {
      await openListener(listener.#server, config.listen)
      if (listener.#tls) listener.#certificate?.watch(listener.#tls, options.lookIntervalMs)
      return listener
    } catch (error) {
      listener.close()
      throw error
    }
  }

  private constructor(config: ListenerConfig, options: ListenerOptions) {
    this.#config = config
    this.#options = options
    this.#server = net.createServer({ noDelay: true }, socket => this.#accept(socket))
    if (config.tls) {
      const address = formatAddress(config.listen)
      this.#certificate = new ServerCertificate(config.tls, address, options.logger)
      this.#tls = tls.createServer({
        ...this.#certificate.options,
        requestCert: config.tls.clientCertificate !== 'none',
        // Looked at below, so that the reason can be told.
        rejectUnauthorized: false
      })
      this.#tls.on('secureConnection', socket => this.#secured(socket))
      this.#tls.on('tlsClientError', error => {
        // Who goes away in the middle, or was too slow, was not refused.
        if (systemCode(error) !== 'ECONNRESET') options.onRefused('tls_handshake')
      })
    }
    if (config.websocket) {
      this.#websocket = new WebsocketDoor({
        ...config.websocket,
        messageBytesMax: options.messageBytesMax,
        onRefused: reason => options.onRefused(reason),
        onStream: (stream, socket) => {
          const peer = this.#upgrading.get(socket)
          if (!peer) {
            stream.destroy()
            return
          }
          // What has come and waits is in memory, though the socket may have gone.
          peer.holds(stream)
          options.onStream(stream, peer)
        }
      })
    }
  }

  get status(): ListenerStatus {
    const { listen, tls: secured, websocket } = this.#config
    const protocol = websocket ? (secured ? 'wss' : 'ws') : secured ? 'mqtts' : 'mqtt'
    const address = formatAddress({ host: listen.host, port: this.port })
    const certificate = this.#certificate?.status
    return { address, protocol, ...(certificate ? { certificate } : {}) }
  }

  /** The port that is listened on: tells which one the system chose. */
  get port(): number {
    const bound = this.#server.address()
    return bound && typeof bound === 'object' ? bound.port : this.#config.listen.port
  }

  /** Reads the files of the certificate now, instead of in a few seconds. */
  reloadCertificate(): void {
    if (this.#tls) this.#certificate?.reload(this.#tls)
  }

  stopAccepting(): void {
    this.#server.close()
  }

  /** Closes what is open, too. */
  close(): void {
    this.#server.close()
    this.#certificate?.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(socket: net.Socket): void {
    const { enter, onRefused, connectTimeoutMs } = this.#options
    const address = plainAddress(socket.remoteAddress)
    // It is gone already.
    if (address === '') {
      socket.destroy()
      return
    }
    const leave = enter(address)
    if (typeof leave === 'string') {
      onRefused(leave)
      socket.destroy()
      return
    }
    socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS)
    const timer = setTimeout(() => {
      onRefused('connect_timeout')
      socket.destroy()
    }, connectTimeoutMs)
    let open = 1
    const closed = () => {
      if (--open === 0) leave()
    }
    const peer: Peer = {
      address,
      local: isLoopbackHost(address),
      arrived: () => clearTimeout(timer),
      holds: stream => {
        open++
        stream.once('close', closed)
      }
    }
    const place = placeOf(socket)
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => {
      clearTimeout(timer)
      this.#securing.delete(place)
      this.#sockets.delete(socket)
      closed()
    })
    if (this.#tls) {
      this.#securing.set(place, peer)
      this.#tls.emit('connection', socket)
    } else {
      this.#opened(socket, peer)
    }
  }

  #secured(socket: tls.TLSSocket): void {
    socket.on('error', () => {})
    const place = placeOf(socket)
    const peer = this.#securing.get(place)
    this.#securing.delete(place)
    const { clientCertificate = 'none', identity = 'none' } = this.#config.tls ?? {}
    if (!peer) {
      socket.destroy()
      return
    }
    if (clientCertificate === 'none') {
      this.#opened(socket, peer)
      return
    }
    const certificate = socket.getPeerX509Certificate()
    // Whether there is one is asked too: a resumed session without counts as authorized.
    const isSound = certificate ? socket.authorized : clientCertificate === 'optional'
    if (!isSound) {
      this.#options.onRefused('certificate')
      socket.destroy()
      return
    }
    const user = certificate && certificateUser(certificate, identity)
    this.#opened(socket, user === undefined ? peer : { ...peer, certificateUser: user })
  }

  #opened(socket: net.Socket, peer: Peer): void {
    if (this.#websocket) {
      this.#upgrading.set(socket, peer)
      this.#websocket.handle(socket)
    } else {
      this.#options.onStream(socket, peer)
    }
  }
}

function placeOf({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`
}
