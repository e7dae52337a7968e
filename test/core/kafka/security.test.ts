import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { judge } from '../../../agent/uplink/kafka-errors.ts'
import type { KafkaConfig } from '../../../core/kafka/config.ts'
import { kafkaFromConfig } from '../../../core/kafka/connection.ts'
import { createLogger, silentLogger } from '../../../core/runtime/log.ts'
import { grantedTopic } from '../../agent/uplink/secure-lane.ts'
import { readTopic, useOwnKafka } from '../../kit/kafka.ts'
import { PASSWORD, type SecureKafka, startSecureKafka, USER } from '../../kit/secure-kafka.ts'

let own: SecureKafka
useOwnKafka(async () => {
  // A login is good for a while, then it must be made again on the same connection (KIP-368).
  const properties = { 'listener.name.client.connections.max.reauth.ms': '12000' }
  own = await startSecureKafka({ properties })
  return own
})

async function sendOne(config: KafkaConfig, topic: string): Promise<void> {
  const producer = kafkaFromConfig(config, 'test', silentLogger).producer({ idempotent: true })
  try {
    await producer.connect()
    await producer.send({ topic, messages: [{ value: 'x' }] })
  } finally {
    await producer.disconnect()
  }
}

test.each([['plain'], ['scram-sha-256'], ['scram-sha-512']])(
  'over TLS a user logs in by %s and writes',
  async mechanism => {
    const topic = await grantedTopic(own, mechanism)
    const sasl = { mechanism, username: USER, password: PASSWORD }
    await sendOne(own.config({ sasl }), topic)
    expect(await readTopic(own.internal, topic, { until: 1 })).toHaveLength(1)
  }
)

test('over TLS a user logs in with a token of a token endpoint, and again when the broker asks', async () => {
  const topic = await grantedTopic(own, 'oauth')
  // Good for 13 s, so renewed after 3; the connection logs in again each 2 s.
  const server = await tokenServer(() => ({ sub: USER, life: 13 }))
  const config = own.config({ sasl: oauthOf(server.url) })
  const producer = kafkaFromConfig(config, 'test', silentLogger).producer({ idempotent: true })
  await producer.connect()
  let sent = 0
  // One token serves all connections; the second one is for a login of a connection there was.
  expect(server.asked).toHaveLength(1)
  const deadline = performance.now() + 11_000
  while (server.asked.length < 2 && performance.now() < deadline) {
    await producer.send({ topic, messages: [{ value: String(sent++) }] })
  }
  await producer.disconnect()
  expect(await readTopic(own.internal, topic, { until: sent })).toHaveLength(sent)
  expect(server.asked[1]).toEqual({
    login: 'gateway-7:s3cret/+ä',
    grant_type: 'client_credentials',
    scope: 'kafka'
  })
})

test('a token that the broker does not accept is a login that is refused', async () => {
  const server = await tokenServer(() => ({ sub: undefined, life: 30 }))
  const config = own.config({ sasl: oauthOf(server.url) })
  const admin = kafkaFromConfig(config, 'test', silentLogger).admin()
  const refusal = await admin.connect().catch(error => error)
  expect(judge(refusal)).toMatchObject({
    action: 'park',
    code: 'SASL_AUTHENTICATION_FAILED',
    message: expect.stringMatching(/the broker refuses the token \(invalid_token/)
  })
  await admin.disconnect()
})

test('no line of the log, at any level, holds a secret', async () => {
  const lines: string[] = []
  const logger = createLogger('debug', line => lines.push(line))
  const server = await tokenServer(() => ({ sub: USER, life: 30 }))
  const logins = [
    { mechanism: 'plain', username: USER, password: PASSWORD },
    { mechanism: 'plain', username: USER, password: 'wrong-secret' },
    { mechanism: 'scram-sha-256', username: USER, password: PASSWORD },
    { mechanism: 'scram-sha-512', username: USER, password: 'wrong-secret' },
    oauthOf(server.url)
  ]
  for (const sasl of logins) {
    const admin = kafkaFromConfig(own.config({ sasl }), 'test', logger).admin()
    await admin.connect().catch(error => lines.push(String(error.stack)))
    await admin.disconnect()
  }
  expect(lines.length).toBeGreaterThan(5)
  const all = lines.join('\n')
  for (const secret of [PASSWORD, 'wrong-secret', 's3cret', ...server.tokens]) {
    expect(all).not.toContain(secret)
  }
})

function oauthOf(url: string) {
  return {
    mechanism: 'oauthbearer',
    provider: 'client_credentials',
    token_url: url,
    client_id: 'gateway-7',
    client_secret: 's3cret/+ä',
    scope: 'kafka'
  }
}

/** Gives unsecured tokens (RFC 7515 A.5), as Kafka's validator for development accepts them. */
async function tokenServer(claimsOf: () => { sub: string | undefined; life: number }) {
  const asked: Record<string, string>[] = []
  const tokens: string[] = []
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', part => {
      body += part
    })
    request.on('end', () => {
      const basic = Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64')
      const login = decodeURIComponent(basic.toString())
      asked.push({ login, ...Object.fromEntries(new URLSearchParams(body)) })
      const { sub, life } = claimsOf()
      const now = Math.floor(Date.now() / 1000)
      const parts = [{ alg: 'none' }, { sub, iat: now - 1, exp: now + life }]
      const coded = parts.map(part => Buffer.from(JSON.stringify(part)).toString('base64url'))
      tokens.push(`${coded.join('.')}.`)
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ access_token: tokens.at(-1), expires_in: life }))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/token`, asked, tokens }
}
