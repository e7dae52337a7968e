import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { HttpServer, json } from '../../../core/runtime/http.ts'
import { createLogger } from '../../../core/runtime/log.ts'

async function serve(token?: string) {
  const lines: string[] = []
  const server = await HttpServer.open({
    address: { host: '127.0.0.1', port: 0 },
    token,
    pages: {
      '/status': () => json({ mode: 'streaming' }),
      '/ready': () => json({ ready: false }, 503),
      '/broken': () => {
        throw new Error('secret detail')
      }
    },
    logger: createLogger('error', line => lines.push(line))
  })
  onTestFinished(() => server.close().catch(() => {}))
  const get = (path: string, init?: RequestInit) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, init)
  return { server, get, lines }
}

test('a page answers GET with its status, type and body; a query is ignored', async () => {
  const { get } = await serve()
  const answer = await get('/status?x=1')
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('application/json')
  expect(answer.headers.get('cache-control')).toBe('no-store')
  expect(await answer.json()).toEqual({ mode: 'streaming' })
  expect((await get('/ready')).status).toBe(503)
})

test('HEAD has the status and no body', async () => {
  const { get } = await serve()
  const answer = await get('/ready', { method: 'HEAD' })
  expect([answer.status, await answer.text()]).toEqual([503, ''])
})

test.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('%s is not allowed', async method => {
  const { get } = await serve()
  expect((await get('/status', { method })).status).toBe(405)
})

test.each(['/', '/nothing', '/constructor', '/__proto__', '/status/', '/../status%00'])(
  '%s is no page: 404 names those there are',
  async path => {
    const { get } = await serve()
    const answer = await get(path)
    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('/status /ready')
  }
)

test('with a token only a request that carries it is answered', async () => {
  const { get } = await serve('s3cret')
  const status = async (authorization?: string) =>
    (await get('/status', authorization ? { headers: { authorization } } : {})).status
  expect(await status()).toBe(401)
  expect(await status('Bearer wrong!')).toBe(401)
  expect(await status('Bearer s3cret2')).toBe(401)
  expect(await status('Basic s3cret')).toBe(401)
  expect(await status('Bearer s3cret')).toBe(200)
  const refused = await get('/nothing')
  expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
})

test('a page that fails is a 500 without details, one line in the log, and the server goes on', async () => {
  const { get, lines } = await serve()
  const answer = await get('/broken')
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('secret')
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0])).toMatchObject({ event: 'http.failed', path: '/broken' })
  expect((await get('/status')).status).toBe(200)
})

test('what is no HTTP ends its connection; closing ends the others', async () => {
  const { server, get } = await serve()
  const stranger = net.connect(server.port, '127.0.0.1')
  stranger.on('error', () => {})
  stranger.resume().write('\0\x01\x02garbage\r\n\r\n')
  await new Promise(resolve => stranger.on('close', resolve))
  expect((await get('/status')).status).toBe(200)
  const idle = net.connect(server.port, '127.0.0.1')
  const closed = new Promise(resolve => idle.on('close', resolve))
  await new Promise(resolve => idle.on('connect', resolve))
  await server.close()
  await closed
})
