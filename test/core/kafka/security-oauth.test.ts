import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { TokenCache } from '../../../core/kafka/oauth.ts'
import { loadSigner, mskToken } from '../../../core/kafka/oauth-aws.ts'
import { fetchToken } from '../../../core/kafka/oauth-client-credentials.ts'
import { TestAuthority } from '../../kit/certificates.ts'

function clockAt(start: number) {
  const clock = { at: start, now: () => clock.at, monotonic: () => clock.at }
  return clock
}

test('a token is fetched once for all who ask at once, and again when four fifths of its life are over', async () => {
  const clock = clockAt(0)
  let fetched = 0
  const cache = new TokenCache(async () => {
    fetched++
    return { value: `token${fetched}`, expiresAt: clock.at + 100_000 }
  }, clock)
  expect(await Promise.all([cache.value(), cache.value()])).toEqual(['token1', 'token1'])
  clock.at = 79_999
  expect(await cache.value()).toBe('token1')
  clock.at = 80_000
  expect(await cache.value()).toBe('token2')
  expect(fetched).toBe(2)
})

test('while no new token can be had the old one is used until shortly before its end', async () => {
  const clock = clockAt(0)
  let fails = false
  const cache = new TokenCache(async () => {
    if (fails) throw new Error('the endpoint is away')
    return { value: 'token', expiresAt: clock.at + 100_000 }
  }, clock)
  await cache.value()
  fails = true
  clock.at = 89_999
  expect(await cache.value()).toBe('token')
  clock.at = 90_000
  await expect(cache.value()).rejects.toThrow('the endpoint is away')
  fails = false
  expect(await cache.value()).toBe('token')
})

test('a token that lives for a moment only is fetched anew for each login', async () => {
  let fetched = 0
  const cache = new TokenCache(
    async () => ({ value: `t${++fetched}`, expiresAt: 5_000 }),
    clockAt(0)
  )
  expect([await cache.value(), await cache.value()]).toEqual(['t1', 't2'])
})

test('what is no bearer token is not sent to a broker', async () => {
  const cache = new TokenCache(async () => ({ value: 'a\u0001b=c', expiresAt: 1e6 }), clockAt(0))
  await expect(cache.value()).rejects.toMatchObject({ code: 'OAUTH_TOKEN_REFUSED' })
})

type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void

async function serverOf(answer: Answer, tls?: { cert: string; key: string }): Promise<string> {
  const server = tls ? https.createServer(tls, answer) : http.createServer(answer)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return `${tls ? 'https' : 'http'}://127.0.0.1:${port}/token`
}

const credentials = { clientId: 'gateway-7', clientSecret: 'hush-hush' }

function json(status: number, value: unknown): Answer {
  return (_, response) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
}

test.each([
  [401, { error: 'invalid_client' }, 'OAUTH_TOKEN_REFUSED', /401, invalid_client.*client_id/],
  [400, 'no object', 'OAUTH_TOKEN_REFUSED', /400, no reason given/],
  [429, {}, 'OAUTH_TOKEN_UNAVAILABLE', /answers 429/],
  [503, {}, 'OAUTH_TOKEN_UNAVAILABLE', /answers 503 without a token/],
  [302, {}, 'OAUTH_TOKEN_UNAVAILABLE', /answers 302/],
  [200, { token: 'x' }, 'OAUTH_TOKEN_UNAVAILABLE', /is kafka\.sasl\.token_url right/]
])('an endpoint that answers %i %j: %s', async (status, body, code, message) => {
  const tokenUrl = await serverOf(json(status, body))
  const error = await fetchToken({ ...credentials, tokenUrl }).catch(error => error)
  expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
  expect(error.message).not.toContain('hush-hush')
})

test('an endpoint that is silent, away, or never ends is given up', async () => {
  const silent = await serverOf(() => {})
  await expect(fetchToken({ ...credentials, tokenUrl: silent }, 100)).rejects.toMatchObject({
    code: 'OAUTH_TOKEN_UNAVAILABLE',
    message: expect.stringMatching(/nothing within 100 ms/)
  })
  await expect(
    fetchToken({ ...credentials, tokenUrl: 'http://127.0.0.1:1/token' })
  ).rejects.toMatchObject({ code: 'OAUTH_TOKEN_UNAVAILABLE' })
  const endless = await serverOf((_, response) => {
    const write = () => {
      if (!response.destroyed) response.write(Buffer.alloc(65_536), write)
    }
    write()
  })
  await expect(fetchToken({ ...credentials, tokenUrl: endless })).rejects.toThrow(/no end/)
})

test('an endpoint over TLS is verified, by the authority that is given', async () => {
  const authority = new TestAuthority()
  const certificate = authority.issue({ name: 'login', hosts: ['127.0.0.1'] })
  const answer = json(200, { access_token: 'abc', expires_in: 60 })
  const tokenUrl = await serverOf(answer, certificate)
  const token = await fetchToken({ ...credentials, tokenUrl, ca: authority.cert })
  expect(token.value).toBe('abc')
  expect(token.expiresAt - Date.now()).toBeGreaterThan(55_000)
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  try {
    await expect(fetchToken({ ...credentials, tokenUrl })).rejects.toThrow(/certificate/)
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
  }
})

test('a token for MSK comes from the signer, for the region', async () => {
  const regions: string[] = []
  const signer = {
    async generateAuthToken({ region }: { region: string }) {
      regions.push(region)
      return { token: 'signed', expiryTime: 900_000 }
    }
  }
  const token = await mskToken('eu-west-1', async () => signer)
  expect(token).toEqual({ value: 'signed', expiresAt: 900_000 })
  expect(regions).toEqual(['eu-west-1'])
})

test('a signer without AWS credentials, and one that is not installed, say what to do', async () => {
  const signer = { generateAuthToken: () => Promise.reject(new Error('no credentials found')) }
  await expect(mskToken('eu-west-1', async () => signer)).rejects.toMatchObject({
    code: 'OAUTH_TOKEN_REFUSED',
    message: expect.stringMatching(/no credentials found; give this machine AWS credentials/)
  })
  const absent = async () => {
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  }
  await expect(mskToken('eu-west-1', () => loadSigner(absent))).rejects.toMatchObject({
    code: 'OAUTH_TOKEN_REFUSED',
    message: expect.stringMatching(/npm install aws-msk-iam-sasl-signer-js/)
  })
})
