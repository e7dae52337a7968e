import type { ClientRequest } from 'node:http'
import { messageOf } from '../../../core/runtime/errors.ts'
import { secretText } from '../../../core/runtime/secrets.ts'
import { readTlsFiles } from '../../../core/runtime/tls-files.ts'
import type { UpstreamOptions } from './options.ts'
import { readThrough } from './read-through.ts'
import { FRAME_BYTES_MAX, WebSocketFrames } from './websocket-frames.ts'

/**
 * What the mqtt client is told for one connection. Password and TLS files are read now, so those that
 * were exchanged on disk are used from the next connection on.
 *
 * @throws {Error} with code SECRET_UNREADABLE or TLS_FILES_UNUSABLE: tried again like a lost connection.
 */
export function connectOptions(options: UpstreamOptions, connectWaitMs: number) {
  const { clientId, username, mqttVersion, window, keepAliveS, sessionExpiryS } = options
  const tls = tlsOptions(options)
  return {
    clientId,
    ...(username !== undefined && { username }),
    ...(options.password && { password: passwordOf(options) }),
    clean: false,
    keepalive: keepAliveS,
    connectTimeout: connectWaitMs,
    // Nothing is left to the client's own reconnecting, so a refused CONNACK is an error like others.
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    ...(mqttVersion === '5'
      ? {
          protocolVersion: 5 as const,
          properties: { receiveMaximum: window, sessionExpiryInterval: sessionExpiryS }
        }
      : { protocolVersion: 4 as const }),
    ...tls,
    // Over WebSocket the client passes on but a few of them by itself.
    ...(options.url.startsWith('ws') && { wsOptions: { ...tls, ...framesInPieces() } })
  }
}

/** For one connection over WebSocket: no message of more than a piece is taken into memory. */
function framesInPieces() {
  const frames = new WebSocketFrames()
  return {
    // Compressed, a frame cannot be cut.
    perMessageDeflate: false,
    maxPayload: FRAME_BYTES_MAX,
    finishRequest(request: ClientRequest): void {
      request.once('socket', socket => {
        readThrough(socket, (chunk, passOn) => frames.pass(chunk, passOn))
      })
      request.end()
    }
  }
}

function tlsOptions({ name, tls }: UpstreamOptions) {
  if (!tls) return {}
  const { servername, alpn } = tls
  return {
    ...readTlsFiles(tls, `upstreams.${name}.tls`),
    ...(servername !== undefined && { servername }),
    ...(alpn && { ALPNProtocols: alpn })
  }
}

function passwordOf({ name, password }: UpstreamOptions): string | undefined {
  try {
    return password && secretText(password)
  } catch (error) {
    const unreadable = new Error(`upstreams.${name}.password: ${messageOf(error)}`)
    throw Object.assign(unreadable, { code: 'SECRET_UNREADABLE' })
  }
}
