import { connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { OperationalError } from '../core/runtime/errors.ts'

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
 * The ids of the nodes that the broker on the port counts as live members of its cluster: an open
 * port is not enough, a broker listens before it can store anything.
 *
 * @returns None when nothing answers within the limit.
 */
export function liveNodes(port: number, timeoutMs = 1000): Promise<number[]> {
  return new Promise(resolve => {
    const socket = connect({ host: LOCAL_HOST, port })
    let response: Buffer = Buffer.alloc(0)
    const settle = (nodes: number[]): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(nodes)
    }
    const timer = setTimeout(settle, timeoutMs, [])
    socket.on('connect', () => socket.write(METADATA_REQUEST))
    socket.on('data', chunk => {
      response = Buffer.concat([response, chunk])
      if (response.length < 4 || response.length < 4 + response.readInt32BE()) return
      settle(response.readInt32BE(4) === 1 ? nodesIn(response) : [])
    })
    socket.on('error', () => settle([]))
    socket.on('close', () => settle([]))
  })
}

/** Metadata response v4: throttle time, then an array of id, host, port, rack. */
function nodesIn(response: Buffer): number[] {
  const nodes: number[] = []
  let at = RESPONSE_BYTES_MIN
  for (let left = response.readInt32BE(at - 4); left > 0; left--) {
    nodes.push(response.readInt32BE(at))
    at += 4
    at += 2 + response.readInt16BE(at) + 4
    at += 2 + Math.max(0, response.readInt16BE(at))
  }
  return nodes
}

export async function kafkaAnswers(port: number, timeoutMs?: number): Promise<boolean> {
  return (await liveNodes(port, timeoutMs)).length > 0
}

const START_MS_MAX = 60_000

/**
 * Polls until the broker that is starting answers: nothing tells when it does.
 *
 * @param runs Whether its process still does.
 * @param log Its last words, for the error.
 * @throws {OperationalError} LOCAL_KAFKA_FAILED when it ended, or after 60 s.
 */
export async function waitForAnswer(
  port: number,
  runs: () => boolean | Promise<boolean>,
  signal: AbortSignal | undefined,
  log: () => Promise<string>,
  answers: (port: number) => Promise<boolean> = kafkaAnswers
): Promise<void> {
  const end = performance.now() + START_MS_MAX
  for (;;) {
    signal?.throwIfAborted()
    if (!(await runs())) throw startFailed('ended while it was starting', port, await log())
    if (await answers(port)) return
    if (performance.now() >= end) {
      throw startFailed(`did not answer within ${START_MS_MAX / 1000} s`, port, await log())
    }
    await delay(100)
  }
}

function startFailed(what: string, port: number, log: string): OperationalError {
  const said = log ? ` Its last words:\n${log}` : ''
  return new OperationalError(
    'LOCAL_KAFKA_FAILED',
    `The local Kafka on ${LOCAL_HOST}:${port} ${what}.${said}`
  )
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
