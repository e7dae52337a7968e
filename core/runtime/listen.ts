import type net from 'node:net'
import { type Address, formatAddress } from './address.ts'
import { messageOf, OperationalError, systemCode } from './errors.ts'

/**
 * Opens a listener; every reason why it cannot be opened is one clear error.
 *
 * @throws {OperationalError} ADDRESS_IN_USE, HOST_UNKNOWN or LISTEN_FAILED.
 */
export async function openListener(server: net.Server, address: Address): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(address.port, address.host, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (error) {
    throw listenError(address, error)
  }
}

function listenError(address: Address, cause: unknown): OperationalError {
  const at = `Cannot listen on ${formatAddress(address)}`
  switch (systemCode(cause)) {
    case 'EADDRINUSE':
      return new OperationalError(
        'ADDRESS_IN_USE',
        `${at}: another process listens there. Stop it, or choose another address.`,
        { cause }
      )
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new OperationalError('HOST_UNKNOWN', `${at}: the host name does not resolve.`, {
        cause
      })
    case 'EACCES':
      return new OperationalError('LISTEN_FAILED', `${at}: ports below 1024 need privileges.`, {
        cause
      })
    default:
      return new OperationalError('LISTEN_FAILED', `${at}: ${messageOf(cause)}.`, { cause })
  }
}
