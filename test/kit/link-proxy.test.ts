import { once } from 'node:events'
import net from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type LinkProxy, type LinkState, startLinkProxy } from './link-proxy.ts'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Server {
  port: number
  sockets: net.Socket[]
  received: number
  /** `end` or an error's code, for each connection that has ended. */
  ends: string[]
}

/** Answers what it receives with the same, unless it only counts. */
async function startServer(echo = true): Promise<Server> {
  const sockets: net.Socket[] = []
  const server = net.createServer(socket => {
    sockets.push(socket)
    socket.on('data', bytes => {
      state.received += bytes.length
      if (echo) socket.write(bytes)
    })
    socket.on('end', () => state.ends.push('end'))
    socket.on('error', error => state.ends.push((error as NodeJS.ErrnoException).code ?? ''))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const state: Server = { port, sockets, received: 0, ends: [] }
  closing.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(resolve => server.close(resolve))
  })
  return state
}

async function startLink(port: number, state?: LinkState): Promise<LinkProxy> {
  const link = await startLinkProxy({ port }, { state })
  closing.push(() => link.close())
  return link
}

class Client {
  text = ''
  /** `end` or an error's code. */
  ended: string | undefined
  readonly socket: net.Socket

  constructor(link: LinkProxy) {
    this.socket = net.connect({ port: link.port, host: '127.0.0.1', noDelay: true })
    this.socket.on('data', bytes => {
      this.text += bytes.toString('latin1')
    })
    this.socket.on('end', () => {
      this.ended ??= 'end'
    })
    this.socket.on('error', error => {
      this.ended ??= (error as NodeJS.ErrnoException).code
    })
    closing.push(async () => this.socket.destroy())
  }

  send(text: string): void {
    this.socket.write(text)
  }

  async receives(text: string): Promise<void> {
    await expect.poll(() => this.text, { timeout: 5000, interval: 2 }).toBe(text)
  }

  async ends(how: string): Promise<void> {
    await expect.poll(() => this.ended, { timeout: 5000, interval: 2 }).toBe(how)
  }
}

/** Long enough that what could come would have come. */
const quiet = () => new Promise(resolve => setTimeout(resolve, 150))

test('an open link carries bytes both ways, counts them, and passes on ends', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  client.send('hello')
  await client.receives('hello')
  expect(link).toMatchObject({ bytesUp: 5, bytesDown: 5, connections: 1 })
  expect(link.address).toBe(`127.0.0.1:${link.port}`)
  client.socket.end()
  await client.ends('end')
  expect(server.ends).toEqual(['end'])
  await expect.poll(() => link.connections).toBe(0)
})

test('a reset on one side is a reset on the other', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const [first, second] = [new Client(link), new Client(link)]
  first.send('a')
  await first.receives('a')
  second.send('b')
  await second.receives('b')
  server.sockets[0].resetAndDestroy()
  await first.ends('ECONNRESET')
  second.socket.resetAndDestroy()
  await expect.poll(() => server.ends).toEqual(['ECONNRESET'])
})

test('a server that is not there is a connection reset', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  await closing.shift()?.()
  await new Client(link).ends('ECONNRESET')
})

test('the rate of a link is shared by its connections', async () => {
  const server = await startServer(false)
  const link = await startLink(server.port, { kind: 'open', bytesPerSecond: 100_000 })
  const startedAt = performance.now()
  for (let n = 0; n < 2; n++) new Client(link).send('x'.repeat(50_000))
  await expect.poll(() => server.received, { timeout: 5000, interval: 5 }).toBe(100_000)
  const ms = performance.now() - startedAt
  expect(ms).toBeGreaterThan(980)
  expect(ms).toBeLessThan(1400)
})

test('a slow link is smooth, and lets go of what waits once it is fast again', async () => {
  const server = await startServer(false)
  const link = await startLink(server.port, { kind: 'open', bytesPerSecond: 1000 })
  const client = new Client(link)
  client.send('x'.repeat(500))
  const seen = new Set<number>()
  await expect
    .poll(() => seen.add(server.received).size, { timeout: 5000, interval: 5 })
    .toBeGreaterThan(5)
  await link.set({ kind: 'open' })
  await expect.poll(() => server.received, { interval: 2, timeout: 200 }).toBe(500)
})

test('a round trip takes the time of the link, the handshake one more', async () => {
  const server = await startServer()
  const link = await startLink(server.port, { kind: 'open', roundTripMs: 100 })
  const client = new Client(link)
  const firstAt = performance.now()
  client.send('a')
  await client.receives('a')
  const firstMs = performance.now() - firstAt
  expect(firstMs).toBeGreaterThan(195)
  expect(firstMs).toBeLessThan(400)
  const secondAt = performance.now()
  client.send('b')
  await client.receives('ab')
  const secondMs = performance.now() - secondAt
  expect(secondMs).toBeGreaterThan(95)
  expect(secondMs).toBeLessThan(250)
})

test('a far link carries its rate, not a window a round trip', async () => {
  const server = await startServer(false)
  const pace = { bytesPerSecond: 1_000_000, roundTripMs: 200 }
  const link = await startLink(server.port, { kind: 'open', ...pace })
  const startedAt = performance.now()
  new Client(link).send('x'.repeat(1_000_000))
  await expect.poll(() => server.received, { timeout: 5000, interval: 5 }).toBe(1_000_000)
  const ms = performance.now() - startedAt
  expect(ms).toBeGreaterThan(1250)
  expect(ms).toBeLessThan(1800)
})

test('a refused link has no port, resets what was connected, and comes back on the same port', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  client.send('a')
  await client.receives('a')
  const { port } = link
  await link.set({ kind: 'refused' })
  await client.ends('ECONNRESET')
  await expect.poll(() => server.ends).toEqual(['ECONNRESET'])
  await new Client(link).ends('ECONNREFUSED')
  expect(link.connections).toBe(0)
  await link.set({ kind: 'open' })
  expect(link.port).toBe(port)
  const next = new Client(link)
  next.send('b')
  await next.receives('b')
})

test('a resetting link resets old and new connections', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  client.send('a')
  await client.receives('a')
  await link.set({ kind: 'reset' })
  await client.ends('ECONNRESET')
  await new Client(link).ends('ECONNRESET')
  expect(server.sockets).toHaveLength(1)
})

test('in a black hole nothing moves and nobody is told; then old and new connections go on', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const [asking, answered, leaving] = [new Client(link), new Client(link), new Client(link)]
  for (const client of [asking, answered, leaving]) {
    client.send('a')
    await client.receives('a')
  }
  await link.set({ kind: 'black_hole' })
  asking.send('b')
  for (const socket of server.sockets) socket.write('c')
  leaving.socket.resetAndDestroy()
  const late = new Client(link)
  late.send('d')
  await quiet()
  expect([asking.text, answered.text, late.text]).toEqual(['a', 'a', ''])
  expect([asking.ended, answered.ended, late.ended]).toEqual([undefined, undefined, undefined])
  expect(server.ends).toEqual([])
  expect(server.received).toBe(3)
  await link.set({ kind: 'open' })
  await answered.receives('ac')
  await asking.receives('acb')
  await late.receives('d')
  await expect.poll(() => server.ends).toEqual(['ECONNRESET'])
})

test('after a black hole that forgets, old connections and those tried in it stay dead, untold', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const old = new Client(link)
  old.send('a')
  await old.receives('a')
  await link.set({ kind: 'black_hole', forget: true })
  const late = new Client(link)
  late.send('b')
  await quiet()
  expect(server.ends).toEqual([])
  await link.set({ kind: 'open' })
  await expect.poll(() => server.ends).toEqual(['end'])
  old.send('c')
  const next = new Client(link)
  next.send('d')
  await next.receives('d')
  await quiet()
  expect([old.text, old.ended, late.text, late.ended]).toEqual(['a', undefined, '', undefined])
  expect(server.received).toBe(2)
})

test('a server that dies behind a black hole is told of when the link opens', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  client.send('a')
  await client.receives('a')
  await link.set({ kind: 'black_hole' })
  server.sockets[0].resetAndDestroy()
  await quiet()
  expect(client.ended).toBeUndefined()
  await link.set({ kind: 'open' })
  await client.ends('ECONNRESET')
})

test('half open, the server loses its client at once; the client is never told', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  client.send('a')
  await client.receives('a')
  await link.set({ kind: 'half_open' })
  await expect.poll(() => server.ends).toEqual(['end'])
  const late = new Client(link)
  late.send('b')
  client.send('c')
  await quiet()
  expect([client.ended, client.text, late.ended, late.text]).toEqual([
    undefined,
    'a',
    undefined,
    ''
  ])
  await link.set({ kind: 'open' })
  await late.receives('b')
  client.send('d')
  await quiet()
  expect([client.ended, client.text]).toEqual([undefined, 'a'])
  expect(link.connections).toBe(2)
  client.socket.destroy()
  await expect.poll(() => link.connections).toBe(1)
})

test('bytes arrive whole and in order across changes of the link', async () => {
  const server = await startServer()
  const link = await startLink(server.port)
  const client = new Client(link)
  const text = Array.from({ length: 40_000 }, (_, n) => String.fromCharCode(33 + (n % 90))).join('')
  const states: LinkState[] = [
    { kind: 'open', bytesPerSecond: 200_000 },
    { kind: 'black_hole' },
    { kind: 'open', bytesPerSecond: 50_000, roundTripMs: 20 },
    { kind: 'open' },
    { kind: 'black_hole' },
    { kind: 'open', roundTripMs: 10 },
    { kind: 'open' }
  ]
  for (const [n, state] of states.entries()) {
    client.send(
      text.slice((n * text.length) / states.length, ((n + 1) * text.length) / states.length)
    )
    await link.set(state)
    await new Promise(resolve => setTimeout(resolve, 30))
  }
  await client.receives(text)
})

test('a link that starts refused keeps its port for later', async () => {
  const server = await startServer()
  const link = await startLink(server.port, { kind: 'refused' })
  expect(link.port).toBeGreaterThan(0)
  await new Client(link).ends('ECONNREFUSED')
  await link.set({ kind: 'open' })
  const client = new Client(link)
  client.send('a')
  await client.receives('a')
})
