import { connect, createServer } from 'node:net'

export const LOCAL_HOST = '127.0.0.1'

/** Metadata v4 for no topic at all: Kafka 1.0 and later understand it. Spec: Kafka protocol guide. */
const METADATA_REQUEST = Buffer.from([
  ...[0, 0, 0, 15], // bytes that follow
  ...[0, 3, 0, 4], // api key 3, version 4
  ...[0, 0, 0, 1], // correlation id
  ...[0xff, 0xff], // no client id
  ...[0, 0, 0, 0], // no topics
  0 // create none
])
const RESPONSE_BYTES_MIN = 4 + 4 + 4 + 4 // size, correlation id, throttle time, count of brokers

/**
 * Whether a Kafka broker answers on the port and counts itself a live member of its cluster: an
 * open port is not enough, a broker listens before it can store anything.
 */
export function kafkaAnswers(port: number, timeoutMs = 1000): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect({ host: LOCAL_HOST, port })
    let response: Buffer = Buffer.alloc(0)
    const settle = (answers: boolean): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(answers)
    }
    const timer = setTimeout(settle, timeoutMs, false)
    socket.on('connect', () => socket.write(METADATA_REQUEST))
    socket.on('data', chunk => {
      response = Buffer.concat([response, chunk])
      if (response.length < RESPONSE_BYTES_MIN) return
      settle(response.readInt32BE(4) === 1 && response.readInt32BE(12) > 0)
    })
    socket.on('error', () => settle(false))
    socket.on('close', () => settle(false))
  })
}

export function isPortFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: LOCAL_HOST, exclusive: true }, () =>
      server.close(() => resolve(true))
    )
  })
}

const PORT_MIN = 20_000
const PORT_END = 32_000

/**
 * A port nobody listens on, below the range from which outgoing connections get theirs: while a
 * broker is stopped, no client of its own (nor its retries) can sit down on its port.
 */
export async function freePort(random: () => number = Math.random): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = PORT_MIN + Math.floor(random() * (PORT_END - PORT_MIN))
    if (await isPortFree(port)) return port
  }
  throw new Error(`no free port found between ${PORT_MIN} and ${PORT_END}`)
}
