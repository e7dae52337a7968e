import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { type Address, formatAddress } from '../../core/runtime/address.ts'
import { type ConfigPath, renderPath } from '../../core/runtime/config-findings.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { openListener } from '../../core/runtime/listen.ts'
import { isOwned } from '../log/places.ts'

/** An address that the configuration would have us listen on. */
export interface ListenerPlace {
  path: ConfigPath
  address: Address
}

export type ListenerState =
  | { kind: 'free' }
  /** Held by the agent of this data directory. */
  | { kind: 'ours'; pid: number | undefined }
  | { kind: 'same'; as: ConfigPath }
  | { kind: 'refused'; message: string }

/** Every `listen` of a section, wherever it stands in it. */
export function listenersIn(value: unknown, at: ConfigPath): ListenerPlace[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => {
    const here = [...at, Array.isArray(value) ? Number(key) : key]
    if (key === 'listen' && isAddress(child)) return [{ path: here, address: child }]
    return listenersIn(child, here)
  })
}

function isAddress(value: unknown): value is Address {
  return typeof value === 'object' && value !== null && 'host' in value && 'port' in value
}

/** Opens and closes each; nobody is answered. Results are in the order of `places`. */
export async function lookAtListeners(
  places: readonly ListenerPlace[],
  dataDirectory: string
): Promise<ListenerState[]> {
  const states: ListenerState[] = []
  for (const [index, { address }] of places.entries()) {
    const before = places
      .slice(0, index)
      .find(({ address: other }) => address.port !== 0 && other.port === address.port)
    const twice =
      before && (before.address.host === address.host || isAny(before) || isAny({ address }))
    if (twice) states.push({ kind: 'same', as: before.path })
    else states.push(await lookAtListener(address, dataDirectory))
  }
  return states
}

function isAny({ address }: Pick<ListenerPlace, 'address'>): boolean {
  return address.host === '0.0.0.0' || address.host === '::'
}

async function lookAtListener(address: Address, dataDirectory: string): Promise<ListenerState> {
  const server = net.createServer()
  // Whoever comes in this moment is sent away.
  server.on('connection', socket => socket.destroy())
  try {
    await openListener(server, address)
    await new Promise(resolve => server.close(resolve))
    return { kind: 'free' }
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    const ours = error.code === 'ADDRESS_IN_USE' && isOurs(address, dataDirectory)
    return ours ? ours : { kind: 'refused', message: messageOf(error) }
  }
}

/**
 * The agent that owns the data directory holds the port: seen in its descriptors, or taken for so where
 * another user's cannot be looked at.
 */
function isOurs(address: Address, dataDirectory: string): ListenerState | undefined {
  const owner = ownerOf(dataDirectory)
  if (!owner) return undefined
  const holds = owner.pid === undefined ? undefined : holdsPort(owner.pid, address.port)
  return holds === false ? undefined : { kind: 'ours', pid: owner.pid }
}

/** Whether a process owns the directory, and which: undefined where nobody does. */
export function ownerOf(dataDirectory: string): { pid: number | undefined } | undefined {
  const place = { lane: 'telemetry', directory: dataDirectory, dataDirectory } as const
  try {
    if (!isOwned(place)) return undefined
    const pid = Number.parseInt(fs.readFileSync(path.join(dataDirectory, 'lock'), 'utf8'), 10)
    return { pid: pid > 0 ? pid : undefined }
  } catch {
    return undefined
  }
}

/** Source: proc(5), `/proc/net/tcp`. @returns undefined where it cannot be told. */
function holdsPort(pid: number, port: number): boolean | undefined {
  try {
    const hex = port.toString(16).toUpperCase().padStart(4, '0')
    const sockets = ['tcp', 'tcp6'].flatMap(name => {
      const file = `/proc/net/${name}`
      if (!fs.existsSync(file)) return []
      const lines = fs.readFileSync(file, 'utf8').split('\n').slice(1)
      return lines.flatMap(line => {
        const [, local, , state, , , , , , inode] = line.trim().split(/\s+/)
        // 0A: it listens.
        return local?.endsWith(`:${hex}`) && state === '0A' ? [`socket:[${inode}]`] : []
      })
    })
    const directory = `/proc/${pid}/fd`
    const held = fs.readdirSync(directory).map(fd => linkOf(path.join(directory, fd)))
    return sockets.some(socket => held.includes(socket))
  } catch {
    return undefined
  }
}

function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file)
  } catch {
    return ''
  }
}

export function listenerText({ path: at, address }: ListenerPlace): string {
  return `${renderPath(at.slice(0, -1))} on ${formatAddress(address)}`
}
