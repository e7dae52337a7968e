import { expect, test } from 'vitest'
import { z } from 'zod'
import { ConfigError, type ConfigOverride, readConfig } from '../../../core/runtime/config.ts'
import { bytes, count, duration, text } from '../../../core/runtime/config-fields.ts'
import { secret } from '../../../core/runtime/secret-fields.ts'

const schema = z.strictObject({
  kafka: z
    .strictObject({
      brokers: z.array(text()).min(1).default(['localhost:9092']),
      tls: z.union([z.boolean(), z.strictObject({ ca: text().optional() })]).default(false),
      partitions: count(1, 100).default(6),
      replicas: count(1, 9).nullable().default(null),
      password: secret().optional()
    })
    .prefault({}),
  log: z
    .strictObject({
      bytes_max: bytes({ min: 4 * 2 ** 20 }).prefault('1GiB'),
      age_max: duration().nullable().prefault(null),
      sync: z.enum(['group', 'interval', 'never']).default('group')
    })
    .prefault({}),
  users: z
    .array(z.strictObject({ name: text(), password: secret() }))
    .max(2)
    .default([])
})

interface Given {
  env?: Record<string, string>
  files?: Record<string, string>
  overrides?: ConfigOverride[]
}

function read(text: string | undefined, { env = {}, files = {}, overrides }: Given = {}) {
  return readConfig({
    schema,
    file: text === undefined ? undefined : { name: 'f.yaml', text },
    env,
    overrides,
    readFile: path => {
      if (!Object.hasOwn(files, path)) throw Object.assign(new Error(path), { code: 'ENOENT' })
      return files[path]
    }
  })
}

function refusal(text: string | undefined, given?: Given): ConfigError {
  try {
    read(text, given)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}

test('every field has its default when there is no file, and when the file is empty', () => {
  const expected = {
    kafka: { brokers: ['localhost:9092'], tls: false, partitions: 6, replicas: null },
    log: { bytes_max: 2 ** 30, age_max: null, sync: 'group' },
    users: []
  }
  expect(read(undefined).value).toEqual(expected)
  expect(read('').value).toEqual(expected)
  expect(read('# nothing but a comment\n').value).toEqual(expected)
})

test('a section whose fields are all commented out has its defaults', () => {
  expect(read('kafka:\n  # tls: true\nusers:\n').value).toEqual(read('').value)
})

test('all mistakes are told at once, each with its line, column and what was meant', () => {
  const error = refusal(`kafka:
  broker: localhost:9092
  partitions: many
  tls: { caa: x }
log:
  bytes_max: 4096
  age_max: 3 fortnights
  sync: grup
users:
  - name: a
  - { name: b, password: 5 }
zookeeper: yes
`)
  expect(error.code).toBe('CONFIG_INVALID')
  expect(error.exitCode).toBe(78)
  expect(error.message.split('\n')).toEqual([
    '9 mistakes in the configuration:',
    "  f.yaml:2:3: kafka.broker: unknown key; did you mean 'brokers'?",
    '  f.yaml:3:15: kafka.partitions: expected a number, got text',
    "  f.yaml:4:10: kafka.tls.caa: unknown key; did you mean 'ca'?",
    "  f.yaml:6:14: log.bytes_max: a size needs its unit (B, KB, kB, MB, GB, TB, KiB, MiB, GiB, TiB): write '4MiB'",
    "  f.yaml:7:12: log.age_max: 'fortnights' is no unit of a duration; use ms, s, m, h, d",
    "  f.yaml:8:9: log.sync: expected one of 'group', 'interval', 'never'; did you mean 'group'?",
    '  f.yaml:10:5: users[0].password: is required',
    '  f.yaml:11:26: users[1].password: expected text, got a number; quote it',
    '  f.yaml:12:1: zookeeper: unknown key; valid here: kafka, log, users'
  ])
})

test.each([
  ['kafka: 5', 'f.yaml:1:8: kafka: expected a mapping, got a number'],
  [
    'kafka: { tls: 5 }',
    'f.yaml:1:15: kafka.tls: expected true or false or a mapping, got a number'
  ],
  ['kafka: { tls: { ca: [] } }', 'f.yaml:1:17: kafka.tls.ca: expected text, got a list'],
  ['kafka: { partitions: 0 }', 'f.yaml:1:22: kafka.partitions: must be at least 1'],
  [
    'kafka: { partitions: 1.5 }',
    'f.yaml:1:22: kafka.partitions: expected a whole number, got a number'
  ],
  ['kafka: { brokers: [] }', 'f.yaml:1:10: kafka.brokers: needs at least 1 entry'],
  ['users: [1, 2, 3]', 'f.yaml:1:1: users: needs at most 2 entries'],
  ["kafka: { brokers: [''] }", 'f.yaml:1:20: kafka.brokers[0]: must not be empty'],
  ['kafka: { partitions: }', 'f.yaml:1:10: kafka.partitions: expected a number, got nothing'],
  ['log: { bytes_max: 1MiB }', 'f.yaml:1:19: log.bytes_max: must be at least 4MiB'],
  ['- a\n- b', 'f.yaml:1:1: expected a mapping, got a list'],
  ['just text', 'f.yaml:1:1: expected a mapping, got text'],
  [
    '__proto__: { polluted: 1 }',
    'f.yaml:1:1: __proto__: unknown key; valid here: kafka, log, users'
  ]
])('%j is refused with its place', (text, message) => {
  expect(refusal(text).message).toBe(message)
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
})

test.each([
  ['kafka:\n  tls: true\n  tls: false\n', "f.yaml:3:3: key 'tls' is given twice"],
  ['kafka:\n\ttls: true\n', 'f.yaml:2:1: not valid YAML: a tab indents; use spaces'],
  ['kafka: [\n', 'f.yaml:2:1: not valid YAML: wrong indentation, or a bracket'],
  ['kafka: "x\n', 'not valid YAML: a quote, bracket, brace or comma is missing'],
  ['a: b: c\n', "f.yaml:1:4: not valid YAML: a second ': ' in one line; quote the value"],
  ['log: *nowhere\n', "f.yaml:1:6: '*' refers to an anchor that does not exist"],
  ['kafka: {}\n---\nlog: {}\n', 'f.yaml:2:1: a second document begins here']
])('broken YAML is refused with its place (case %#)', (text, message) => {
  const error = refusal(text)
  expect(error.message).toContain(message)
  expect(error.code).toBe('CONFIG_INVALID')
})

test('a file that is absurdly deep or long is refused', () => {
  const blocks = Array.from({ length: 900 }, (_, depth) => `${' '.repeat(depth)}a:`)
  for (const deep of [`a: ${'['.repeat(200_000)}`, '- '.repeat(5000), blocks.join('\n')]) {
    expect(refusal(deep).message).toBe('f.yaml:1:1: the file is nested too deeply')
  }
  const long = refusal(' '.repeat(1024 * 1024 + 1))
  expect(long.message).toBe('f.yaml:1:1: the file is larger than 1 MiB')
})

test('hundreds of mistakes are counted, and the first hundred told', () => {
  const text = Array.from({ length: 500 }, (_, index) => `wrong${index}: x`).join('\n')
  const { message, findings } = refusal(text)
  expect(findings).toHaveLength(500)
  expect(message.split('\n')).toHaveLength(102)
  expect(message).toContain('… and 400 more')
})

test('duplicate keys do not hide the other mistakes', () => {
  const { findings } = refusal('log:\n  sync: never\n  sync: never\nkafka:\n  partition: 3\n')
  expect(findings.map(finding => [finding.line, finding.suggestion])).toEqual([
    [3, undefined],
    [5, 'partitions']
  ])
})

test('aliases that multiply without end are refused', () => {
  const level = (n: number): string => `l${n}: &l${n} [${`*l${n - 1}, `.repeat(20)}]`
  const bomb = ['l0: &l0 [x]', ...[1, 2, 3, 4, 5].map(level)].join('\n')
  expect(refusal(bomb).message).toContain('repeats its anchors too often')
})

test('an alias stands for its anchor', () => {
  const { value } = read("users:\n  - &a { name: x, password: 'p' }\n  - *a\n")
  expect(value.users).toHaveLength(2)
})

test('variables are put into scalars after parsing, with defaults', () => {
  const { value } = read(
    `kafka:
  brokers: ['\${HOST}:\${PORT:-9092}', 'plain-$\${HOST}:1']
  partitions: \${PARTS}
  replicas: \${REPLICAS:-}
  tls: \${TLS:-true}
  password: \${PASSWORD}
log: { age_max: '\${AGE:-2h}' }
`,
    { env: { HOST: 'k', PARTS: '12', PASSWORD: 'a: [b\n# "c', AGE: '' } }
  )
  expect(value.kafka).toEqual({
    brokers: ['k:9092', `plain-\${HOST}:1`],
    partitions: 12,
    replicas: null,
    tls: true,
    password: 'a: [b\n# "c'
  })
  expect(value.log.age_max).toBe(7_200_000)
})

test('a variable that is not set and a broken reference are findings with their line', () => {
  const { message } = refusal(`kafka:
  password: \${NOPE}
  partitions: \${ALSO_NOT}
  brokers: ['\${}', '\${open']
`)
  const syntax = `'\${' begins no variable: write \${NAME}, \${NAME:-default} or $\${ for itself`
  expect(message.split('\n').slice(1)).toEqual([
    '  f.yaml:2:13: kafka.password: environment variable NOPE is not set',
    '  f.yaml:3:15: kafka.partitions: environment variable ALSO_NOT is not set',
    `  f.yaml:4:13: kafka.brokers[0]: ${syntax}`,
    `  f.yaml:4:20: kafka.brokers[1]: ${syntax}`
  ])
})

test('a secret is read from a file, less one newline at its end', () => {
  const files = { '/run/p': 'hunter2\n\n', '/run/crlf': 'x\r\n' }
  const text = `kafka: { password: '@file:/run/p' }\nusers: [{ name: a, password: '@file:/run/crlf' }]`
  const { value } = read(text, { files })
  expect(value.kafka.password).toBe('hunter2\n')
  expect(value.users[0].password).toBe('x')
})

test('a secret file that cannot be read, and one where no secret belongs, are findings', () => {
  const { message } = refusal(
    "kafka:\n  password: '@file:/run/nope'\n  brokers: ['@file:/run/brokers']\n"
  )
  expect(message).toContain(
    'f.yaml:2:13: kafka.password: secret file /run/nope cannot be read (ENOENT)'
  )
  expect(message).toContain("f.yaml:3:13: kafka.brokers[0]: '@file:' is for secrets")
})

test('no secret is in a message or in what is printed, however wrong its surroundings', () => {
  const secrets = ['hunter2-file', 'hunter2-env', 'hunter2-text', 'hunter2-alias', 'hunter2-tag']
  const given = { env: { P: 'hunter2-env' }, files: { '/p': 'hunter2-file' } }
  const refused = [
    "kafka: { password: '@file:/p', pasword: hunter2-text }",
    'kafka: { password: { deep: hunter2-text } }',
    'kafka: { password: [hunter2-text] }',
    'kafka: { tls: hunter2-text, partitions: hunter2-text }',
    'log: { sync: hunter2-text }',
    `log: { sync: \${P} }`,
    'users: [{ name: a, password: hunter2-text, x: 1 }]',
    'users: hunter2-text',
    'hunter2-text',
    'kafka: { password: *hunter2-alias }',
    'kafka: { password: !hunter2-tag x }',
    'kafka: { password: "hunter2-text\n',
    'kafka: { password: "\\hunter2-text" }',
    'kafka: { password: @hunter2-text }',
    'kafka: { password: hunter2-text: hunter2-text }',
    'password: hunter2-text\n bad: indent'
  ]
  for (const text of refused) {
    const error = refusal(text, given)
    for (const value of secrets)
      expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(value)
  }
  const { effective } = read(
    `kafka: { password: '\${P}' }\nusers: [{ name: a, password: '@file:/p' }, { name: b, password: hunter2-text }]`,
    given
  )
  for (const value of secrets) expect(JSON.stringify(effective)).not.toContain(value)
  expect(effective).toMatchObject({ kafka: { password: '[secret]', partitions: 6 } })
})

test('a secret inside a message of a check of its own is taken out', () => {
  const checked = z.strictObject({
    token: secret().superRefine((value, context) =>
      context.addIssue({ code: 'custom', message: `'${value}' is weak` })
    )
  })
  const file = { name: 'f.yaml', text: 'token: hunter2' }
  const run = () => readConfig({ schema: checked, file, env: {}, readFile: () => '' })
  expect(run).toThrow("f.yaml:1:8: token: '[secret]' is weak")
})

test('a flag stands in for the file, and its mistakes carry its name', () => {
  const brokers = (value: unknown): ConfigOverride[] => [
    { flag: '--kafka', path: ['kafka', 'brokers'], value }
  ]
  const text = `kafka: { brokers: ['\${NOT_NEEDED}'], partitions: 3 }`
  const { kafka } = read(text, { overrides: brokers(['k:1']) }).value
  expect(kafka).toMatchObject({ brokers: ['k:1'], partitions: 3 })
  expect(read(undefined, { overrides: brokers(['k:1']) }).value.kafka.brokers).toEqual(['k:1'])

  const onlyFlag = refusal('kafka: {}', { overrides: brokers(['']) })
  expect([onlyFlag.code, onlyFlag.message]).toEqual(['USAGE', '--kafka: must not be empty'])
  expect(onlyFlag.exitCode).toBe(2)

  const both = refusal('kafka: { partitions: 0 }', { overrides: brokers(['']) })
  expect(both.code).toBe('CONFIG_INVALID')
  expect(both.findings.map(({ source }) => source)).toEqual(['--kafka', 'f.yaml'])
})
