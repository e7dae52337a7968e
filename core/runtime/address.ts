import { isIPv4, isIPv6 } from 'node:net'

/** Where a server listens, or a client connects to. */
export interface Address {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string
  /** 0 lets the system choose a port to listen on. */
  readonly port: number
}

/**
 * Reads `host:port`; an IPv6 address stands in brackets.
 *
 * @throws {SyntaxError} with a message fit for the configuration's author. It never repeats the
 *   text: an address with credentials in front is a common mistake.
 */
export function parseAddress(text: string): Address {
  const [, bracketed, plain, digits] =
    /^(?:\[([^\]]+)\]|([^\s:/@]+)):([0-9]{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || (bracketed !== undefined && !isIPv6(bracketed))) {
    throw new SyntaxError(`expected HOST:PORT, like '127.0.0.1:1883' or '[::1]:1883'`)
  }
  const port = Number(digits)
  if (port > 65_535) throw new SyntaxError('a port is at most 65535')
  return { host, port }
}

export function formatAddress({ host, port }: Address): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether nobody outside this machine can reach the host. */
export function isLoopbackHost(host: string): boolean {
  if (isIPv4(host)) return host.startsWith('127.')
  return host === '::1' || host.toLowerCase() === 'localhost'
}
