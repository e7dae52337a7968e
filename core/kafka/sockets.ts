import net from 'node:net'
import type { ISocketFactory, Kafka } from 'kafkajs'

/**
 * What can be seen of a client's connections, and done to them, from outside: it tells neither whether
 * anything is heard nor gives up a connection that has gone silent.
 */
export class KafkaSockets {
  /** When anything was last heard, a connection made included; `performance.now()`, ms. */
  heardAt = Number.NEGATIVE_INFINITY
  readonly #open = new Set<net.Socket>()
  #closed = false
  #closedBytes = 0

  /** Bytes handed to all connections so far. */
  get sentBytes(): number {
    let bytes = this.#closedBytes
    for (const socket of this.#open) bytes += socket.bytesWritten
    return bytes
  }

  add(socket: net.Socket): void {
    if (this.#closed) process.nextTick(() => socket.destroy(new Error('the client was given up')))
    const hear = () => {
      this.heardAt = performance.now()
    }
    this.#open.add(socket)
    socket.on('connect', hear)
    socket.on('data', hear)
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#closedBytes += socket.bytesWritten
    })
  }

  /**
   * Breaks all connections, made or not, as a network would: what waits for an answer is rejected,
   * and the client connects anew when it is next used. Bytes not sent yet are thrown away: on a slow
   * link they would stand before those of the next connection.
   */
  break(): void {
    for (const socket of this.#open) {
      // The client rejects what it waits for at a timeout or an error, not at a mere close.
      socket.emit('timeout')
      // Node cannot reset one that is being closed: it would stay open for ever.
      const resets = isPlain(socket) && !socket.connecting && !socket.writableEnded
      if (resets) socket.resetAndDestroy()
      else socket.destroy()
    }
  }

  /**
   * Breaks all connections and those to come: a consumer that is told to stop while it joins its group
   * would otherwise join it all the same, and stay.
   */
  close(): void {
    this.#closed = true
    this.break()
  }
}

/** Node resets only sockets without TLS. */
function isPlain(socket: net.Socket): boolean {
  return Object.getPrototypeOf(socket) === net.Socket.prototype
}

const known = new WeakMap<Kafka, KafkaSockets>()

/** The factory, with an eye on what it makes. */
export function watchSockets(sockets: KafkaSockets, factory: ISocketFactory): ISocketFactory {
  return options => {
    const socket = factory(options)
    sockets.add(socket)
    return socket
  }
}

export function keepSockets(kafka: Kafka, sockets: KafkaSockets): Kafka {
  known.set(kafka, sockets)
  return kafka
}

/** The connections of a client that `createKafka` made. */
export function socketsOf(kafka: Kafka): KafkaSockets {
  return known.get(kafka) ?? new KafkaSockets()
}
