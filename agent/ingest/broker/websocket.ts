import http from 'node:http'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws'
import type { ListenerWebsocketConfig } from './config.ts'

export interface WebsocketDoorOptions extends ListenerWebsocketConfig {
  /** Of one WebSocket message, which may hold many packets. */
  messageBytesMax: number
  onStream(stream: Duplex, socket: Duplex): void
  onRefused(reason: 'websocket' | 'origin'): void
}

const SUBPROTOCOL = 'mqtt'
/** Of a request's headers. */
const HEADER_BYTES_MAX = 8192

/**
 * MQTT over WebSocket: answers HTTP on sockets that are handed to it, and makes of each upgraded one
 * a stream of MQTT bytes. Back-pressure passes through in both directions.
 *
 * A browser sends its cookies and reaches this machine's own listeners from any page, so a page must be named in
 * `origins`; what sends no origin is no browser. Source: MQTT 3.1.1 §6; RFC 6455 §10.2.
 */
export class WebsocketDoor {
  readonly #options: WebsocketDoorOptions
  readonly #http: http.Server
  readonly #upgrades: WebSocketServer

  constructor(options: WebsocketDoorOptions) {
    this.#options = options
    this.#http = http.createServer({ maxHeaderSize: HEADER_BYTES_MAX }, (request, response) => {
      options.onRefused('websocket')
      const found = pathOf(request) === options.path
      const headers = { connection: 'close', ...(found ? { upgrade: 'websocket' } : {}) }
      response.writeHead(found ? 426 : 404, headers).end()
    })
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    this.#http.on('clientError', (_error, socket) => {
      options.onRefused('websocket')
      socket.destroy()
    })
    this.#upgrades = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      // Compressed, a small frame could be a large packet; and devices' payloads gain little.
      perMessageDeflate: false,
      maxPayload: options.messageBytesMax,
      handleProtocols: () => SUBPROTOCOL
    })
  }

  /** @param socket As accepted, its TLS done. */
  handle(socket: Duplex): void {
    this.#http.emit('connection', socket)
  }

  #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): void {
    const { path, origins, onRefused, onStream } = this.#options
    const refuse = (reason: 'websocket' | 'origin', status: string) => {
      onRefused(reason)
      socket.on('error', () => {})
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    }
    const offered = String(request.headers['sec-websocket-protocol'] ?? '').split(',')
    const { origin } = request.headers
    if (pathOf(request) !== path) {
      refuse('websocket', '404 Not Found')
    } else if (!offered.some(protocol => protocol.trim() === SUBPROTOCOL)) {
      refuse('websocket', '400 Bad Request')
    } else if (origin !== undefined && !origins.includes('*') && !origins.includes(origin)) {
      refuse('origin', '403 Forbidden')
    } else {
      this.#upgrades.handleUpgrade(request, socket, head, webSocket =>
        onStream(streamOf(webSocket), socket)
      )
    }
  }
}

function streamOf(webSocket: WebSocket): Duplex {
  const stream = createWebSocketStream(webSocket)
  // A packet is written in pieces, which are to be one frame.
  stream._writev = (chunks, done) =>
    webSocket.send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)
  // MQTT 3.1.1 §6.0.0-1: a frame of text ends the connection, before the stream offers what it holds.
  webSocket.prependListener('message', (_data, isBinary) => {
    if (!isBinary) stream.destroy()
  })
  return stream
}

function pathOf({ url = '' }: http.IncomingMessage): string {
  return url.split('?', 1)[0]
}
