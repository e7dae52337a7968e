import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { kafkaSchema } from '../../../core/kafka/config.ts'
import { KafkaCredentials } from '../../../core/kafka/credentials.ts'
import { readConfig } from '../../../core/runtime/config.ts'
import { TestAuthority } from '../../kit/certificates.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

const schema = z.strictObject({ kafka: kafkaSchema.prefault({}) })

function read(text: string, files: Record<string, string> = {}, env: Record<string, string> = {}) {
  const readFile = (path: string): string => {
    if (path in files) return files[path]
    throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
  }
  return readConfig({ schema, file: { name: 'f.yaml', text }, env, readFile })
}

const SCRAM = 'mechanism: scram-sha-512, username: u'

test('a secret from a file stays a reference, one from elsewhere its text, and neither is printed', () => {
  const files = { '/run/pw': 'hush-hush\n' }
  const fromFile = read(`kafka: { sasl: { ${SCRAM}, password: '@file:\${DIR}/pw' } }`, files, {
    DIR: '/run'
  })
  expect(fromFile.value.kafka.sasl).toMatchObject({ password: { file: '/run/pw' } })
  const text = `kafka: { sasl: { ${SCRAM}, password: '\${PW}' } }`
  // A password that only looks like a reference is none.
  const fromEnv = read(text, files, { PW: '@file:/run/pw' })
  expect(fromEnv.value.kafka.sasl).toMatchObject({ password: { text: '@file:/run/pw' } })
  for (const { effective } of [fromFile, fromEnv]) {
    expect(inspect(effective, { depth: 9 })).not.toMatch(/hush|run\/pw/)
    expect(effective).toMatchObject({ kafka: { sasl: { password: '[secret]' } } })
  }
  // A worker thread gets it: plain data.
  expect(structuredClone(fromFile.value)).toEqual(fromFile.value)
})

const OAUTH = 'mechanism: oauthbearer, provider: client_credentials'
const ENDPOINT = 'token_url: https://login.example/token, client_id: c, client_secret: hush-hush'

test.each([
  [`sasl: { ${SCRAM} }`, /kafka\.sasl\.password: is required for scram-sha-512/],
  [`sasl: { ${SCRAM}, password: '' }`, /kafka\.sasl\.password: must not be empty/],
  [`sasl: { ${SCRAM}, password: [hush-hush] }`, /kafka\.sasl\.password: expected text/],
  [`sasl: { ${SCRAM}, password: '@file:/none' }`, /secret file \/none cannot be read \(ENOENT\)/],
  [`sasl: { ${SCRAM}, password: '@file:/empty' }`, /secret file \/empty is empty/],
  [
    `sasl: { ${SCRAM}, password: hush-hush, region: eu-west-1 }`,
    /region: does not belong to scram/
  ],
  ['sasl: { mechanism: oauthbearer }', /kafka\.sasl\.provider: is required for oauthbearer/],
  [`sasl: { ${OAUTH} }`, /client_secret: is required for oauthbearer with client_credentials/],
  [`sasl: { mechanism: oauthbearer, provider: aws-msk-iam }`, /kafka\.sasl\.region: is required/],
  [
    `sasl: { mechanism: oauthbearer, provider: aws-msk-iam, region: Mars }`,
    /expected an AWS region/
  ],
  [
    `sasl: { ${OAUTH}, ${ENDPOINT.replace('https', 'http')} }`,
    /token_url: would send the secret in the clear: use https/
  ],
  [
    `brokers: [k.example:9092], sasl: { mechanism: plain, username: u, password: hush-hush }`,
    /sasl\.mechanism: 'plain' would send the secret to k\.example:9092 in the clear: set kafka\.tls/
  ],
  [`brokers: [k.example:9092], sasl: { ${OAUTH}, ${ENDPOINT} }`, /in the clear: set kafka\.tls/],
  ['tls: { cert: a.pem }', /a client certificate needs both cert and key; key is missing/],
  ['tls: { verify: false }', /kafka\.tls\.verify: unknown key/],
  ['tls: { rejectUnauthorized: false }', /kafka\.tls\.rejectUnauthorized: unknown key/]
])('the configuration { %s } is refused', (text, message) => {
  let refusal = ''
  try {
    read(`kafka: { ${text} }`, { '/empty': '\n' })
  } catch (error) {
    refusal = (error as Error).message
  }
  expect(refusal).toMatch(message)
  expect(refusal).not.toContain('hush-hush')
})

test('a login over the internet is taken with TLS, and without it on this machine alone', () => {
  const plain = 'sasl: { mechanism: plain, username: u, password: p }'
  read(`kafka: { brokers: [k.example:9093], tls: true, ${plain} }`)
  read(`kafka: { brokers: [127.0.0.1:9092], ${plain} }`)
  const { value } = read(`kafka: { tls: true, sasl: { ${OAUTH}, ${ENDPOINT}, scope: a b } }`)
  expect(value.kafka.sasl).toEqual({
    mechanism: 'oauthbearer',
    provider: {
      kind: 'client_credentials',
      tokenUrl: 'https://login.example/token',
      clientId: 'c',
      clientSecret: { text: 'hush-hush' },
      scope: 'a b'
    }
  })
})

function filesOf() {
  const directory = temporaryDirectory()
  const authority = new TestAuthority()
  const write = (name: string, text: string): string => {
    const file = join(directory, name)
    writeFileSync(file, text)
    return file
  }
  const { cert, key } = authority.issue({ name: 'gateway' })
  const files = {
    ca: write('ca.pem', authority.cert),
    cert: write('cert.pem', cert),
    key: { file: write('key.pem', key) },
    password: { file: write('password', 'one') }
  }
  return { authority, write, files }
}

test('files that change are noticed once they can be used', () => {
  const { authority, write, files } = filesOf()
  const { ca, cert, key, password } = files
  const config = { tls: { ca, cert, key }, sasl: { ...login, password } }
  const changed = (edit: () => void): boolean => {
    const credentials = new KafkaCredentials(config, 0)
    expect(credentials.changed).toBe(false)
    edit()
    return credentials.changed
  }
  const next = authority.issue({ name: 'next' })
  expect(changed(() => write('password', 'two'))).toBe(true)
  expect(changed(() => write('password', 'two'))).toBe(false)
  expect(changed(() => write('password', ''))).toBe(false)
  write('password', 'two')
  expect(changed(() => rmSync(join(ca)))).toBe(false)
  write('ca.pem', authority.cert)
  // Half exchanged: certificate and key do not fit.
  expect(changed(() => write('cert.pem', next.cert))).toBe(false)
  const credentials = new KafkaCredentials(config, 0)
  write('key.pem', next.key)
  expect(credentials.changed).toBe(true)
})

const login = { mechanism: 'scram-sha-512' as const, username: 'u' }

test('files are looked at no more often than every few seconds', () => {
  const { write, files } = filesOf()
  let reads = 0
  const readFile = () => {
    reads++
    return 'one'
  }
  const sasl = { ...login, password: files.password }
  const credentials = new KafkaCredentials({ tls: false, sasl }, 5_000, readFile)
  write('password', 'two')
  for (let n = 0; n < 1000; n++) expect(credentials.changed).toBe(false)
  expect(reads).toBe(1)
})

test('the login that the client gets reads the secret each time', () => {
  const { write, files } = filesOf()
  const credentials = new KafkaCredentials({
    tls: false,
    sasl: { ...login, password: files.password }
  })
  const sasl = credentials.login() as { password: string }
  expect(sasl.password).toBe('one')
  write('password', 'two\n')
  expect(sasl.password).toBe('two')
})
