import { expect, onTestFinished, test } from 'vitest'
import { HttpServer, json } from '../../../core/runtime/http.ts'
import { HttpDoor } from '../../../core/runtime/http-door.ts'
import { createLogger } from '../../../core/runtime/log.ts'

const TOKEN = 'correct horse battery'

async function serve(token?: string) {
  const server = await HttpServer.open({
    address: { host: '127.0.0.1', port: 0 },
    token,
    openPages: ['/live', '/ready'],
    pages: {
      '/': () => ({ status: 200, type: 'text/html; charset=utf-8', body: 'the page' }),
      '/live': () => json({ live: true }),
      '/ready': () => json({ ready: true }),
      '/status': () => json({ mode: 'streaming' }),
      '/metrics': () => json({})
    },
    streams: { '/events': () => json({ refused: true }, 503) },
    loginPage: refused => ({
      status: 200,
      type: 'text/html; charset=utf-8',
      body: refused ? 'not the token' : 'which token?'
    }),
    logger: createLogger('error', () => {})
  })
  onTestFinished(() => server.close())
  const get = (path: string, init?: RequestInit) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { redirect: 'manual', ...init })
  return { server, get }
}

const login = (token: string): RequestInit => ({
  method: 'POST',
  body: new URLSearchParams({ token })
})

test.each(['/status', '/metrics', '/events', '/', '/nothing'])(
  'with a token %s is behind it',
  async path => {
    const { get } = await serve(TOKEN)
    const refused = await get(path)
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    expect(await refused.text()).not.toContain('the page')
    const authorization = `Bearer ${TOKEN}`
    expect((await get(path, { headers: { authorization } })).status).not.toBe(401)
  }
)

test('with a token a supervisor still reads /live and /ready without one', async () => {
  const { get } = await serve(TOKEN)
  expect([(await get('/live')).status, (await get('/ready')).status]).toEqual([200, 200])
})

test('a browser is asked for the token, gets a cookie for it, and then sees everything', async () => {
  const { get } = await serve(TOKEN)
  expect(await (await get('/')).text()).toBe('which token?')
  const welcome = await get('/login', login(TOKEN))
  expect([welcome.status, welcome.headers.get('location')]).toEqual([303, '/'])
  const setCookie = welcome.headers.get('set-cookie') ?? ''
  expect(setCookie).toMatch(/; HttpOnly; SameSite=Strict; /)
  expect(setCookie).not.toContain('correct')
  const cookie = `other=1; ${setCookie.split(';')[0]}`
  expect(await (await get('/', { headers: { cookie } })).text()).toBe('the page')
  expect((await get('/status', { headers: { cookie } })).status).toBe(200)
  const spoiled = { cookie: `${cookie}x` }
  expect((await get('/status', { headers: spoiled })).status).toBe(401)
})

test.each(['', 'wrong', `${TOKEN} `, 'x'.repeat(100_000)])(
  'a wrong token gets no cookie',
  async token => {
    const { get } = await serve(TOKEN)
    const refused = await get('/login', login(token)).catch(() => undefined)
    // A body that no token is as long as may end the connection instead.
    expect(refused?.status ?? 401).toBe(401)
    expect(refused?.headers.get('set-cookie') ?? null).toBeNull()
  }
)

test('many wrong tokens at once are refused without a look', async () => {
  const { get } = await serve(TOKEN)
  const answers = await Promise.all(Array.from({ length: 30 }, () => get('/login', login('wrong'))))
  const statuses = answers.map(({ status }) => status)
  expect(statuses.filter(status => status === 401)).toHaveLength(8)
  expect(statuses.filter(status => status === 429)).toHaveLength(22)
})

test('without a token there is nothing to log in to, and nothing else is written', async () => {
  const { get } = await serve()
  expect((await get('/login', login('x'))).status).toBe(405)
  expect((await get('/', { method: 'POST' })).status).toBe(405)
})

test('a cookie of another token is worthless', () => {
  const cookie = new HttpDoor('one').cookieFor('one')?.split(';')[0] ?? ''
  expect(new HttpDoor('one').admits({ headers: { cookie } })).toBe('admitted')
  expect(new HttpDoor('two').admits({ headers: { cookie } })).toBe('token_needed')
  expect(new HttpDoor(undefined).cookieFor('')).toBeUndefined()
})

test.each([
  ['127.0.0.1:8080', 'admitted'],
  ['localhost:8080', 'admitted'],
  ['LOCALHOST', 'admitted'],
  ['[::1]:8080', 'admitted'],
  ['192.168.1.5:8080', 'admitted'],
  ['rebound.example.com:8080', 'name_not_believed'],
  ['127.0.0.1.example.com', 'name_not_believed'],
  ['localhost.example.com', 'name_not_believed'],
  [undefined, 'name_not_believed']
])('without a token a request for %s is %s', (host, admission) => {
  expect(new HttpDoor(undefined).admits({ headers: { host } })).toBe(admission)
})

test('with a token any name will do: who knows it is no foreign page', () => {
  const headers = { host: 'gateway.plant7', authorization: 'Bearer one' }
  expect(new HttpDoor('one').admits({ headers })).toBe('admitted')
})

test('every answer forbids inline scripts, foreign origins, frames, guessing of types and keeping', async () => {
  const { get } = await serve(TOKEN)
  const authorization = `Bearer ${TOKEN}`
  for (const path of ['/', '/status', '/nothing', '/events', '/live']) {
    for (const headers of [undefined, { authorization }]) {
      const answer = await get(path, headers && { headers })
      const policy = answer.headers.get('content-security-policy') ?? ''
      expect(policy).toContain("default-src 'none'")
      expect(policy).toContain("frame-ancestors 'none'")
      expect(policy).not.toMatch(/unsafe|http:|https:|\*/)
      expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
      expect(answer.headers.get('x-frame-options')).toBe('DENY')
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    }
  }
})
