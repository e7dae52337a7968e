import dns from 'node:dns/promises'
import net from 'node:net'
import { type Address, formatAddress, parseAddress } from '../core/runtime/address.ts'
import { OperationalError, systemCode } from '../core/runtime/errors.ts'
import { openListener } from '../core/runtime/listen.ts'

/**
 * Looks whether the addresses are free, before anything on disk is touched. Another process could
 * still take one in the meantime; then opening the real listener says the same.
 *
 * @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED.
 */
export async function checkAddressesFree(addresses: readonly (Address | null)[]): Promise<void> {
  // All at once: two of them may be in each other's way.
  const opened: net.Server[] = []
  try {
    for (const address of addresses) {
      if (!address || address.port === 0) continue
      const server = net.createServer()
      await openListener(server, address).catch(error => {
        throw opened.some(other => portOf(other) === address.port) ? sameAddress(address) : error
      })
      opened.push(server)
    }
  } finally {
    for (const server of opened) await new Promise(resolve => server.close(resolve))
  }
}

function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port
}

function sameAddress(address: Address): OperationalError {
  const text = `Two listeners are to be on ${formatAddress(address)}. Give them different ports.`
  return new OperationalError('ADDRESS_IN_USE', text)
}

/**
 * Looks whether at least one broker's name exists. A name server that does not answer is an outage,
 * not a mistake.
 *
 * @throws {OperationalError} HOST_UNKNOWN when none does.
 */
export async function checkBrokersResolve(brokers: readonly string[]): Promise<void> {
  const unknown: string[] = []
  for (const broker of brokers) {
    const { host } = parseAddress(broker)
    try {
      await dns.lookup(host)
      return
    } catch (error) {
      if (systemCode(error) !== 'ENOTFOUND') return
      unknown.push(host)
    }
  }
  throw new OperationalError(
    'HOST_UNKNOWN',
    `Kafka address does not resolve: ${unknown.map(host => `'${host}'`).join(', ')} has no such name. Correct kafka.brokers (or --kafka).`
  )
}
