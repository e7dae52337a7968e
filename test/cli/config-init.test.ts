import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../../cli/config.ts'
import { checkInitText, type InitAnswers, initText, nextSteps } from '../../cli/config-init.ts'
import { askThreeQuestions } from '../../cli/config-init-questions.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli/main.js'
)

async function loaded(answers: InitAnswers) {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  fs.writeFileSync(file, initText(answers))
  return (await loadFieldlineConfig({ file, env: {} })).config
}

test('without any answer the file is valid and says the defaults', async () => {
  const config = await loaded({})
  const defaults = (await loadFieldlineConfig()).config
  expect(config).toEqual(defaults)
})

test('every answer stands in the configuration, whatever characters it has', async () => {
  const directory = temporaryDirectory()
  const passwordFile = path.join(directory, "it's # a password")
  fs.writeFileSync(passwordFile, 'hunter2\n')
  const config = await loaded({
    kafka: 'kafka-1:9093, kafka-2:9093',
    id: 'on',
    data: '/var/lib/field line',
    listen: '0.0.0.0:1884',
    usersFile: "users: it's",
    match: 'plants/{device}/{metric}',
    site: '0x10',
    delivery: 'exactly_once',
    ca: '/etc/ca: 1.pem',
    user: 'gw # 1',
    passwordFile
  })
  expect(config).toMatchObject({
    agent: { id: 'on', data: '/var/lib/field line' },
    mqtt: { listen: { host: '0.0.0.0', port: 1884 }, usersFile: "users: it's" },
    kafka: {
      brokers: ['kafka-1:9093', 'kafka-2:9093'],
      tls: { ca: '/etc/ca: 1.pem' },
      sasl: { mechanism: 'scram-sha-512', username: 'gw # 1', password: { file: passwordFile } }
    },
    uplink: { delivery: 'exactly_once' },
    routes: [{ name: 'devices', match: ['plants/{device}/{metric}'], site: '0x10' }]
  })
})

test('answers that make no valid configuration are refused with all their mistakes', () => {
  const text = initText({ kafka: 'nowhere', match: 'plants/{metric}' })
  expect(() => checkInitText(text)).toThrow(
    expect.objectContaining({
      code: 'USAGE',
      message: expect.stringMatching(
        /^Nothing was written\. kafka\.brokers\[0\].*; routes\[0\]\.match.*device/
      )
    })
  )
})

test('what to do next begins with the users, if there are any', () => {
  expect(nextSteps('f.yaml', {})[0]).toBe('fieldline check -c f.yaml')
  expect(nextSteps('f.yaml', { usersFile: 'users' })[0]).toContain('fieldline passwd')
})

async function asked(lines: string) {
  const [input, output] = [new PassThrough(), new PassThrough()]
  input.end(lines)
  const answers = await askThreeQuestions(input, output)
  return { answers, said: String(output.read()) }
}

test('three questions: enter takes what is usual, a wrong answer is asked again', async () => {
  expect((await asked('\n\n\n')).answers).toEqual({ kafka: 'localhost:9092' })
  const { answers, said } = await asked('kafka\nkafka:9093\nplants/{site}/{device}\n7\n3\n')
  expect(answers).toEqual({
    kafka: 'kafka:9093',
    match: 'plants/{site}/{device}',
    listen: '0.0.0.0:1883',
    anonymous: 'always'
  })
  expect(said).toContain('expected HOST:PORT')
  expect(said).toContain('Expected 1, 2 or 3.')
  checkInitText(initText(answers))
})

test('an end of the answers is no configuration', async () => {
  await expect(asked('kafka:9092\n')).rejects.toMatchObject({ code: 'USAGE' })
})

function run(directory: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, NO_COLOR: '1' }
  })
  return { status, stdout, stderr }
}

test('the command writes a file once, which the other commands take', () => {
  const directory = temporaryDirectory()
  const first = run(directory, 'config', 'init', '--id', 'gw-1', '--listen', '127.0.0.1:0')
  expect(first).toMatchObject({ status: 0, stderr: '' })
  expect(first.stdout).toMatch(
    /^Wrote fieldline\.yaml\. Next:\n {2}fieldline check -c fieldline\.yaml\n/
  )
  const file = path.join(directory, 'fieldline.yaml')
  const text = fs.readFileSync(file, 'utf8')
  const again = run(directory, 'config', 'init')
  expect(again.status).toBe(2)
  expect(again.stderr).toContain('fieldline.yaml is there already and was left alone')
  expect(fs.readFileSync(file, 'utf8')).toBe(text)
  expect(run(directory, 'config', 'check', '-c', 'fieldline.yaml').status).toBe(0)
  expect(run(directory, 'config', 'init', '--force', '--id', 'gw-2').status).toBe(0)
  expect(fs.readFileSync(file, 'utf8')).toContain('id: gw-2')
})

test('check and dry-run end with their codes, and tell programs in JSON', () => {
  const directory = temporaryDirectory()
  const file = path.join(directory, 'f.yaml')
  const write = (text: string) => fs.writeFileSync(file, text, { mode: 0o600 })
  write(
    "mqtt: { listen: 'off' }\nhttp: { listen: 'off' }\nlog: { bytes_max: 4MiB }\nuplink: { batch_bytes_max: 1MiB }\nkafka: { brokers: ['127.0.0.1:1'] }\n"
  )
  const sound = run(directory, 'check', '-c', 'f.yaml', '--json')
  expect(JSON.parse(sound.stdout)).toMatchObject({ errors: 0, findings: expect.any(Array) })
  expect(sound.status).toBe(0)
  const dry = run(directory, 'dry-run', '-c', 'f.yaml', '--timeout', '3s', '--json')
  expect(dry.status).toBe(1)
  expect(JSON.parse(dry.stdout)).toMatchObject({ ok: false, wouldHappen: expect.any(Array) })
  expect(run(directory, 'dry-run', '-c', 'f.yaml', '--timeout', 'soon').status).toBe(2)
  write('kafka: { broker: x }')
  const wrong = run(directory, 'check', '-c', 'f.yaml')
  expect(wrong.status).toBe(78)
  expect(wrong.stdout).toContain("✗ error: unknown key; did you mean 'brokers'?")
  const json = run(directory, 'config', 'check', '-c', 'f.yaml', '--json')
  expect(json.status).toBe(78)
  expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, mistakes: [{ path: 'kafka.broker' }] })
  const fields = JSON.parse(run(directory, 'config', 'reference', '--json').stdout)
  expect(fields).toContainEqual(expect.objectContaining({ path: 'kafka.brokers' }))
})
