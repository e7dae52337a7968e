import type net from 'node:net'
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocket } from 'ws'

const SUBPROTOCOL = 'mqtt'
const MESSAGE_BYTES_MAX = 4 << 20

/**
 * A WebSocket over a connection that is made, as a stream of MQTT bytes.
 *
 * @param url `ws://HOST[:PORT]/PATH`; a `wss` socket is encrypted already.
 * @param deadlineAt `performance.now()` at which patience ends.
 * @throws when the server does not switch.
 */
export function openWebsocket(socket: net.Socket, url: URL, deadlineAt: number): Promise<Duplex> {
  const websocket = new WebSocket(`ws://${url.host}${url.pathname}`, SUBPROTOCOL, {
    createConnection: () => socket,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false
  })
  return new Promise((resolve, reject) => {
    const fail = (what: string): void => {
      clearTimeout(timer)
      reject(new Error(what))
      // What ws has to say of an end that it made itself comes after that, and is nobody's.
      websocket.terminate()
    }
    const late = () => fail('it does not answer the request for a WebSocket')
    const timer = setTimeout(late, Math.max(0, deadlineAt - performance.now()))
    websocket.once('open', () => {
      clearTimeout(timer)
      resolve(createWebSocketStream(websocket))
    })
    websocket.once('unexpected-response', (_request, { statusCode }) =>
      fail(`it answers ${statusCode} instead of a WebSocket: correct the path`)
    )
    websocket.on('error', ({ message }) =>
      fail(`it closes the connection instead of a WebSocket (${message})`)
    )
  })
}
