import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import tls from 'node:tls'
import { onTestFinished } from 'vitest'
import type { ListenerConfig, ListenerTlsConfig } from '../../../../agent/ingest/broker/config.ts'
import { type Certificate, TestAuthority } from '../../../kit/certificates.ts'
import { RawMqtt } from '../../../kit/raw-mqtt.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'

export const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** Files of a server, in a directory that goes with the test. */
export class TlsFiles {
  readonly authority = new TestAuthority('server authority')
  readonly clients = new TestAuthority('client authority')
  readonly directory = temporaryDirectory()
  readonly cert = path.join(this.directory, 'server.crt')
  readonly key = path.join(this.directory, 'server.key')
  readonly ca = path.join(this.directory, 'clients.crt')

  constructor() {
    this.write(this.server())
    fs.writeFileSync(this.ca, this.clients.cert)
  }

  server(validUntil?: Date): Certificate {
    return this.authority.issue({
      name: 'broker',
      hosts: ['localhost', '127.0.0.1'],
      ...(validUntil ? { validUntil } : {})
    })
  }

  /** Beside, and then in place of, as an operator's tool does. */
  write({ cert, key }: Certificate): void {
    for (const [file, text] of [
      [this.cert, cert],
      [this.key, key]
    ]) {
      fs.writeFileSync(`${file}.new`, text)
      fs.renameSync(`${file}.new`, file)
    }
  }

  listener(
    fields: Partial<ListenerTlsConfig> = {},
    websocket: ListenerConfig['websocket'] = null
  ): ListenerConfig {
    const { cert, key } = this
    const tlsConfig = { ...{ cert, key }, ca: undefined, crl: undefined, ...NO_CLIENTS, ...fields }
    return { listen: LOOPBACK, tls: tlsConfig, websocket }
  }
}

const NO_CLIENTS = { clientCertificate: 'none', identity: 'none' } as const

export const WEBSOCKET = { listen: LOOPBACK, tls: null, websocket: { path: '/mqtt', origins: [] } }

/** A raw device over TLS; its handshake is done. */
export async function openTls(
  port: number,
  files: TlsFiles,
  options: tls.ConnectionOptions = {}
): Promise<RawMqtt & { socket: tls.TLSSocket }> {
  const socket = tls.connect({ port, host: '127.0.0.1', ca: files.authority.cert, ...options })
  onTestFinished(() => void socket.destroy())
  await once(socket, 'secureConnect')
  return new RawMqtt(socket) as RawMqtt & { socket: tls.TLSSocket }
}

/** Of a listener's address. */
export function portOf({ address }: { address: string }): number {
  return Number(address.slice(address.lastIndexOf(':') + 1))
}
