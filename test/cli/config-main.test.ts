import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'fieldline-main-'))
afterAll(() => rmSync(directory, { recursive: true }))

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, NO_COLOR: '1' }
  })
  return { status, stdout, stderr }
}

function fileOf(text: string): string {
  const file = join(directory, 'fieldline.yaml')
  writeFileSync(file, text)
  return file
}

test('help names every command and shows examples, version is one line', () => {
  const help = run('--help')
  expect([help.status, help.stderr]).toEqual([0, ''])
  for (const name of ['agent', 'detector', 'sim', 'kafka', 'topics', 'log', 'config', 'demo']) {
    expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
  }
  expect(help.stdout).toContain('$ fieldline agent --kafka localhost:9092')
  expect(run('--version')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^\S+\n$/) })
})

test('usage that cannot be understood exits with 2 and says what was meant', () => {
  const mistyped = run('confg')
  expect(mistyped.status).toBe(2)
  expect(mistyped.stderr).toContain('Did you mean config?')
  const nested = run('config', 'chekc')
  expect(nested.status).toBe(2)
  expect(nested.stderr).toContain('Did you mean check?')
  expect(run('config', 'show', '--confg', 'x').stderr).toContain('Did you mean --config?')
  expect(run('config', 'check').status).toBe(2)
  expect(run().status).toBe(2)
})

test('a sound configuration is told to be so', () => {
  const file = fileOf('log: { bytes_max: 2GiB }\n')
  expect(run('config', 'check', '-c', file)).toEqual({
    status: 0,
    stdout: `${file}: no mistakes\n`,
    stderr: ''
  })
})

test('a wrong configuration exits with 78 and one message, without a stack', () => {
  const file = fileOf('kafka:\n  broker: x\nlog:\n  bytes_max: 5\n')
  const { status, stdout, stderr } = run('config', 'check', '-c', file)
  expect([status, stdout]).toEqual([78, ''])
  expect(stderr.split('\n')).toEqual([
    'fieldline: 2 mistakes in the configuration:',
    `  ${file}:2:3: kafka.broker: unknown key; did you mean 'brokers'?`,
    expect.stringContaining(`  ${file}:4:14: log.bytes_max: a size needs its unit`),
    ''
  ])
  const missing = run('config', 'check', '-c', join(directory, 'nope.yaml'))
  expect(missing.status).toBe(78)
  expect(missing.stderr).toMatch(/^fieldline: .*nope\.yaml: .* there is no such file\n$/)
})

test('the configuration in effect is printed without its secrets', () => {
  const file = fileOf(
    'http: { token: hunter2 }\nmqtt: { users: [{ username: a, password: hunter3 }] }'
  )
  const { status, stdout } = run('config', 'show', '-c', file)
  expect(status).toBe(0)
  expect(stdout).toContain("  token: '[secret]'\n")
  expect(stdout).toContain('  bytes_max: 1GiB\n')
  expect(stdout).not.toContain('hunter')
})

test('schema and reference are printed', () => {
  const schema = JSON.parse(run('config', 'schema').stdout)
  expect(schema.properties.kafka.properties.brokers.default).toEqual(['localhost:9092'])
  expect(run('config', 'reference').stdout).toContain('# Configuration reference')
})

test('a reader that goes away early is no failure', () => {
  const command = `"${process.execPath}" "${MAIN}" config reference | true`
  const { status, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8' })
  expect([status, stderr]).toEqual([0, ''])
})
