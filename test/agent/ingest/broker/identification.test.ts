import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import {
  type Credentials,
  Identification,
  type IdentificationOptions
} from '../../../../agent/ingest/broker/identification.ts'
import {
  hashPassword,
  PasswordVerifier,
  parsePasswordHash
} from '../../../../agent/ingest/broker/password-hash.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { temporaryDirectory } from '../../../kit/temp-directory.ts'

function identification(options: Partial<IdentificationOptions>, onChange = () => {}) {
  const lines: Record<string, unknown>[] = []
  const found = new Identification(
    { anonymous: 'loopback', users: [], usersFile: undefined, ...options },
    createLogger('debug', line => lines.push(JSON.parse(line))),
    onChange
  )
  onTestFinished(() => found.close())
  return Object.assign(found, { lines })
}

function shown(fields: Partial<Credentials> & { text?: string } = {}): Credentials {
  const { text, ...rest } = fields
  return {
    ...{ username: undefined, certificateUser: undefined, address: '10.0.0.1', local: false },
    password: text === undefined ? undefined : Buffer.from(text),
    ...rest
  }
}

const NOBODY = { user: undefined, by: 'nothing' }

test.each([
  ['loopback', true, NOBODY],
  ['loopback', false, 'credentials'],
  ['always', false, NOBODY],
  ['never', true, 'credentials']
] as const)('anonymous: %s, from this machine: %s', async (anonymous, local, expected) => {
  expect(await identification({ anonymous }).identify(shown({ local }))).toEqual(expected)
})

test('a user name that is given must be known, wherever it comes from', async () => {
  const strict = identification({
    anonymous: 'always',
    users: [{ username: 'u', password: 'p' }]
  })
  const ask = (username: string, text?: string) =>
    strict.identify(shown({ username, local: true, ...(text === undefined ? {} : { text }) }))
  expect(await ask('u', 'p')).toMatchObject({ user: 'u', by: 'password' })
  for (const [name, text] of [['u', 'q'], ['u'], ['v', 'p'], ['v', '']]) {
    expect(await ask(name, text)).toBe('credentials')
  }
})

test('a user name that nobody verified is none', async () => {
  const open = identification({ anonymous: 'always' })
  expect(await open.identify(shown({ username: 'admin', text: 'x' }))).toEqual(NOBODY)
})

test('a certificate that names a user goes before a user name', async () => {
  const strict = identification({ anonymous: 'never', users: [{ username: 'u', password: 'p' }] })
  const answer = await strict.identify(shown({ certificateUser: 'pump', username: 'u', text: 'q' }))
  expect(answer).toEqual({ user: 'pump', by: 'certificate' })
})

test('users of a file are let in with their password, and the file may change', async () => {
  const file = path.join(temporaryDirectory(), 'users')
  const [first, second] = [await hashPassword('first'), await hashPassword('second')]
  fs.writeFileSync(file, `# pumps\nu:${first}\n`)
  let changes = 0
  const users = identification({ anonymous: 'never', usersFile: file }, () => changes++)
  const ask = (text: string, username = 'u') => users.identify(shown({ username, text }))
  const before = await ask('first')
  expect(before).toMatchObject({ user: 'u', by: 'password' })
  expect(await ask('second')).toBe('credentials')
  expect(await ask('first', 'nobody')).toBe('credentials')
  expect(users.status).toEqual({ users: 1 })

  fs.writeFileSync(file, `u:${second}\nv:${first}\n`)
  users.reload()
  expect(changes).toBe(1)
  expect(await ask('second')).toMatchObject({ user: 'u' })
  expect(await ask('first')).toBe('credentials')
  expect(users.stillKnown(before as never, false)).toBe(false)
})

test("a users' file that is broken later changes nothing but the status, and is told of once", async () => {
  const file = path.join(temporaryDirectory(), 'users')
  fs.writeFileSync(file, `u:${await hashPassword('p')}\n`)
  const users = identification({ anonymous: 'never', usersFile: file })
  fs.writeFileSync(file, 'u:secret-in-the-clear\n')
  users.reload()
  users.reload()
  expect(await users.identify(shown({ username: 'u', text: 'p' }))).toMatchObject({ user: 'u' })
  expect(users.status?.error).toContain(`${file}: line 1`)
  expect(users.lines.map(({ event }) => event)).toEqual(['mqtt.users_unusable'])
  expect(JSON.stringify(users.lines)).not.toContain('secret-in-the-clear')
})

test("a users' file that cannot be used at the start is a mistake in the configuration", () => {
  expect(() => identification({ usersFile: '/nowhere/users' })).toThrow(/mqtt.users_file/)
})

// --- Passwords -----------------------------------------------------------------------------------

function heldVerifier(options: ConstructorParameters<typeof PasswordVerifier>[0] = {}) {
  const waiting: (() => void)[] = []
  const verifier = new PasswordVerifier({
    derive: (_password, { digest }) =>
      new Promise(resolve => waiting.push(() => resolve(Buffer.from(digest)))),
    ...options
  })
  return { verifier, waiting }
}

const HASH = { ln: 14, r: 8, p: 5, salt: Buffer.from('salt'), digest: Buffer.alloc(32, 7) }
const word = (n: number) => Buffer.from(`password ${n}`)

test('few passwords are derived at a time, few wait, and the rest is told to come again', async () => {
  const { verifier, waiting } = heldVerifier({ concurrency: 2, waitingMax: 3 })
  const asked = Array.from({ length: 6 }, (_, n) => verifier.verify(word(n), HASH, `10.0.0.${n}`))
  expect([waiting.length, verifier.waiting]).toEqual([2, 3])
  expect(await asked[5]).toBe('busy')
  for (let n = 0; n < 5; n++) {
    await expect.poll(() => waiting.length).toBeGreaterThan(0)
    expect(waiting.length).toBeLessThan(3)
    waiting.shift()?.()
  }
  expect(await Promise.all(asked.slice(0, 5))).toEqual(Array(5).fill('right'))
})

test('one address does not use up the queue of all', () => {
  const { verifier } = heldVerifier({ concurrency: 1, waitingPerAddressMax: 2 })
  const asks = (from: string, n: number) => verifier.verify(word(n), HASH, from)
  for (let n = 0; n < 3; n++) expect(asks('10.0.0.1', n)).toBeInstanceOf(Promise)
  expect(asks('10.0.0.1', 3)).toBe('busy')
  expect(asks('10.0.0.2', 3)).toBeInstanceOf(Promise)
  for (let n = 4; n < 100; n++) expect(asks('127.0.0.1', n)).toBeInstanceOf(Promise)
})

test('addresses are served in turn: many passwords of one keep another waiting for one of them', async () => {
  const { verifier, waiting } = heldVerifier({ concurrency: 1 })
  const answered: string[] = []
  const ask = (address: string, n: number) =>
    Promise.resolve(verifier.verify(word(n), HASH, address)).then(() => answered.push(address))
  const asked = Array.from({ length: 100 }, (_, n) => ask('10.0.0.1', n))
  asked.push(ask('10.0.0.2', 100), ask('10.0.0.2', 101))
  while (answered.length < 102) {
    waiting.shift()?.()
    await new Promise(setImmediate)
  }
  await Promise.all(asked)
  expect(answered.slice(0, 6)).toEqual(['1', '1', '2', '1', '2', '1'].map(host => `10.0.0.${host}`))
  expect(verifier.waiting).toBe(0)
})

test('a storm of 1024 devices waits, and none of them is told to come again', async () => {
  const { verifier, waiting } = heldVerifier({ concurrency: 1 })
  const ask = (n: number) => verifier.verify(word(n), HASH, `10.0.0.${n % 5}`)
  const asked = Array.from({ length: 1025 }, (_, n) => ask(n))
  expect(asked.filter(answer => answer === 'busy')).toEqual([])
  expect(ask(1025)).toBe('busy')
  for (let n = 0; n < 1025; n++) {
    waiting.shift()?.()
    await new Promise(setImmediate)
  }
  expect(new Set(await Promise.all(asked))).toEqual(new Set(['right']))
})

test('a digest of another cost is verified by what it says of itself', async () => {
  const text = await hashPassword('old', { ln: 10, r: 8, p: 5 })
  expect(await hashPassword('new')).toMatch(/^\$scrypt\$ln=14,r=8,p=1\$/)
  const verifier = new PasswordVerifier()
  const hash = parsePasswordHash(text)
  expect(await verifier.verify(Buffer.from('old'), hash, 'a')).toBe('right')
  expect(await verifier.verify(Buffer.from('new'), hash, 'a')).toBe('wrong')
})

test('a verdict is remembered, and who asks meanwhile waits with the first', async () => {
  const { verifier, waiting } = heldVerifier()
  const [first, second] = [verifier.verify(word(1), HASH, 'a'), verifier.verify(word(1), HASH, 'b')]
  expect(second).toBe(first)
  waiting.shift()?.()
  expect(await first).toBe('right')
  expect(verifier.verify(word(1), HASH, 'a')).toBe('right')
  const changed = { ...HASH, digest: Buffer.alloc(32, 8) }
  expect(verifier.verify(word(1), changed, 'a')).toBeInstanceOf(Promise)
})

test('guesses push no remembered password out', async () => {
  const { verifier } = heldVerifier({
    remembered: 2,
    derive: async password => Buffer.alloc(32, Buffer.from(password).equals(word(0)) ? 7 : 1)
  })
  expect(await verifier.verify(word(0), HASH, 'a')).toBe('right')
  for (let n = 1; n < 10; n++) expect(await verifier.verify(word(n), HASH, 'a')).toBe('wrong')
  expect(verifier.verify(word(0), HASH, 'a')).toBe('right')
  expect(verifier.verify(word(9), HASH, 'a')).toBe('wrong')
  expect(verifier.verify(word(1), HASH, 'a')).toBeInstanceOf(Promise)
})

test('nobody is let in by guessing what stands for an unknown user', async () => {
  const { verifier, waiting } = heldVerifier()
  const asked = verifier.verify(word(1), undefined, 'a')
  waiting.shift()?.()
  expect(await asked).toBe('wrong')
})

test('a derivation that fails is no verdict: the client may come again', async () => {
  const { verifier } = heldVerifier({ derive: () => Promise.reject(new Error('no memory')) })
  expect(await verifier.verify(word(1), HASH, 'a')).toBe('busy')
  expect(await verifier.verify(word(1), HASH, 'a')).toBe('busy')
  expect(verifier.waiting).toBe(0)
})
