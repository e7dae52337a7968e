import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { check } from '../../cli/check/check.ts'
import type { Finding, Findings } from '../../cli/check/finding.ts'
import { findingsText } from '../../cli/check/finding-text.ts'
import { type Machine, thisMachine } from '../../cli/check/machine.ts'
import { NO_PAINT } from '../../cli/terminal/text.ts'
import { DurableLog } from '../../core/log/log.ts'
import { lockDirectory } from '../../core/runtime/directory-lock.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { CERTIFICATE_WARNING_MS } from '../../core/runtime/tls-files.ts'
import { buildExample } from '../../detector/scorer/models/build-example.ts'
import { TestAuthority } from '../kit/certificates.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const DAY_MS = 86_400_000
const GIB = 2 ** 30
const ALL_WELL: Partial<Machine> = {
  fileSystemOf: () => ({ freeBytes: 100 * GIB, kind: undefined }),
  descriptorsMax: () => 20_000,
  memoryBytes: () => 4 * GIB
}

interface Place {
  directory: string
  write(name: string, text: string, mode?: number): string
  /** Checks the YAML; `$` in it is the directory. Its listeners are off unless it says other. */
  check(yaml: string, machine?: Partial<Machine>): Promise<Findings>
}

function place(): Place {
  const directory = temporaryDirectory()
  const write = (name: string, text: string, mode = 0o600) => {
    const file = path.join(directory, name)
    fs.writeFileSync(file, text)
    fs.chmodSync(file, mode)
    return file
  }
  return {
    directory,
    write,
    check: (yaml, machine = {}) => {
      const quiet = ['mqtt', 'http'].filter(section => !new RegExp(`^${section}:`, 'm').test(yaml))
      const off = quiet.map(section => `${section}: { listen: 'off' }\n`).join('')
      const agent = /^agent:/m.test(yaml) ? '' : 'agent: { data: $/data }\n'
      const text = `${yaml}\n${agent}${off}`.replaceAll('$/', `${directory}/`)
      const file = write('fieldline.yaml', text)
      return check({ file, machine: { ...thisMachine, ...ALL_WELL, ...machine }, env: {} })
    }
  }
}

/** Those that are no praise, as `severity: what`. */
function complaints({ list }: Findings): string[] {
  return list.filter(({ severity }) => severity !== 'ok').map(textOf)
}

const textOf = ({ severity, what }: Finding) => `${severity}: ${what}`

test('a sound configuration on a sound machine has nothing but praise', async () => {
  const findings = await place().check('log: { bytes_max: 1GiB }')
  expect(complaints(findings)).toEqual([expect.stringMatching(/^note: there is no log in .* yet/)])
  expect(findings.exitCode(true)).toBe(0)
  expect(findingsText(findings, NO_PAINT)).toContain('Nothing stands in the way.')
})

test('mistakes of the configuration come with their place, beside what else is wrong', async () => {
  const here = place()
  const findings = await here.check(
    'kafka:\n  broker: x\n  tls: { ca: $/ca.pem }\nuplink: { delivery: twice }\nlog: { bytes_max: 8GiB }',
    { fileSystemOf: () => ({ freeBytes: GIB, kind: undefined }) }
  )
  const mistakes = findings.list.filter(({ group }) => group === 'configuration')
  expect(mistakes).toMatchObject([
    { severity: 'error', what: "unknown key; did you mean 'brokers'?" },
    { severity: 'error', what: expect.stringContaining('expected') },
    { severity: 'note', what: 'what depends on a section with mistakes was not looked at' }
  ])
  expect(mistakes[0].where).toMatch(/fieldline\.yaml:2:3: kafka\.broker$/)
  // The section `log` has no mistake: its demand on the disk is looked at in the same go.
  expect(complaints(findings)).toContainEqual(
    expect.stringMatching(/^warning: 1\.0 GiB are free, and the log may still grow by 8\.0 GiB/)
  )
  expect(findings.exitCode(false)).toBe(78)
})

test('a file that cannot be read as YAML is told alone, with exit code 78', async () => {
  const findings = await place().check('kafka: [')
  expect(findings.exitCode(false)).toBe(78)
  expect(new Set(findings.list.map(({ group }) => group))).toEqual(new Set(['configuration']))
  const missing = await check({ file: path.join(temporaryDirectory(), 'none.yaml') })
  expect(complaints(missing)).toEqual([expect.stringContaining('there is no such file')])
  expect(missing.exitCode(false)).toBe(78)
})

test('certificates are judged by their time: expired, soon to expire, not yet valid', async () => {
  const here = place()
  const authority = new TestAuthority('the plant')
  const inDays = (days: number) => new Date(Date.now() + days * DAY_MS)
  const issue = (name: string, from: number, until: number) => {
    const { cert, key } = authority.issue({
      name,
      validFrom: inDays(from),
      validUntil: inDays(until)
    })
    here.write(`${name}.pem`, cert)
    here.write(`${name}.key`, key)
  }
  issue('expired', -10, -2)
  issue('soon', -10, 12.5)
  issue('ends', -10, CERTIFICATE_WARNING_MS / DAY_MS - 0.5)
  issue('lasts', -10, CERTIFICATE_WARNING_MS / DAY_MS + 0.5)
  issue('later', 2, 90)
  issue('well', -1, 90)
  const tls = (name: string) => `kafka:\n  tls:\n    cert: $/${name}.pem\n    key: $/${name}.key`
  const expired = await here.check(tls('expired'))
  expect(complaints(expired)).toContainEqual(
    expect.stringMatching(/^error: 'expired' has expired on \d{4}-\d{2}-\d{2}$/)
  )
  expect(expired.list.find(({ severity }) => severity === 'error')).toMatchObject({
    group: 'certificates',
    where: expect.stringMatching(/fieldline\.yaml:3:11: kafka\.tls\.cert$/),
    todo: expect.stringContaining('renew')
  })
  expect(expired.exitCode(false)).toBe(1)
  const soon = await here.check(tls('soon'))
  expect(complaints(soon)).toContainEqual(
    expect.stringMatching(/^warning: 'soon' expires in 12 days/)
  )
  expect([soon.exitCode(false), soon.exitCode(true)]).toEqual([0, 1])
  expect(complaints(await here.check(tls('ends')))).toContainEqual(
    expect.stringMatching(/^warning: 'ends' expires in 20 days/)
  )
  expect((await here.check(tls('lasts'))).exitCode(true)).toBe(0)
  expect(complaints(await here.check(tls('later')))).toContainEqual(
    expect.stringMatching(/^error: 'later' is not valid before/)
  )
  const well = await here.check(tls('well'))
  expect(well.list.map(textOf)).toContain("ok: the key belongs to 'well'")
  expect(well.exitCode(true)).toBe(0)
})

test('a key of another certificate, one that others may read and a chain out of order are found', async () => {
  const here = place()
  const authority = new TestAuthority('the plant')
  const days = (n: number) => new Date(Date.now() + n * DAY_MS)
  const one = authority.issue({ name: 'one', validUntil: days(90) })
  const two = authority.issue({ name: 'two', validUntil: days(90) })
  here.write('one.pem', one.cert + two.cert)
  here.write('two.key', two.key, 0o644)
  here.write('ca.pem', two.cert)
  const findings = await here.check(
    'kafka:\n  tls: { ca: $/ca.pem, cert: $/one.pem, key: "@file:$/two.key" }'
  )
  const found = complaints(findings)
  expect(found).toContain("error: the key does not belong to the certificate of 'one'")
  expect(found).toContain("warning: 'two' is not the certificate of an authority")
  expect(found).toContain("warning: 'one' was not signed by 'two', which follows it")
  expect(found).toContainEqual(expect.stringContaining('two.key'))
})

test('files that are no certificates, or not there, are named and never repeated', async () => {
  const here = place()
  here.write('bad.pem', 'hunter2-is-no-certificate')
  const findings = await here.check(
    'kafka: { tls: { ca: $/bad.pem, cert: $/gone.pem, key: $/bad.pem } }'
  )
  const found = complaints(findings)
  expect(found).toContainEqual(expect.stringMatching(/^error: .*bad\.pem holds no certificate/))
  expect(found).toContainEqual(
    expect.stringMatching(/^error: .*gone\.pem cannot be read \(ENOENT\)/)
  )
  expect(found).toContain('error: the key cannot be read')
  expect(JSON.stringify(findings.list)).not.toContain('hunter2')
})

test("a server's certificate and key are looked at as those of a client are", async () => {
  const here = place()
  const { cert } = new TestAuthority().issue({
    name: 'box',
    validUntil: new Date(Date.now() - 1000)
  })
  here.write('box.pem', cert)
  here.write('box.key', 'nothing')
  const validUntil = new Date(Date.now() + 90 * DAY_MS)
  here.write('ca.pem', new TestAuthority().issue({ name: 'no authority', validUntil }).cert)
  const findings = await here.check(
    "mqtt:\n  listen: 'off'\n  listeners:\n    - { listen: '127.0.0.1:0', tls: { cert: $/box.pem, key: $/box.key, ca: $/ca.pem, crl: $/gone.crl } }"
  )
  const found = findings.list.filter(({ severity }) => severity === 'error')
  expect(found).toMatchObject([
    { what: expect.stringContaining('gone.crl cannot be read (ENOENT)') },
    {
      what: expect.stringContaining("'box' has expired"),
      where: expect.stringContaining('listeners[0].tls.cert')
    },
    { what: 'the key cannot be read' }
  ])
})

test('secrets that others may read are warned of, in their own file and in the configuration', async () => {
  const here = place()
  here.write('token', 'hunter2', 0o644)
  const findings = await here.check("http: { listen: 'off', token: '@file:$/token' }")
  expect(complaints(findings)).toContainEqual(
    expect.stringMatching(/^warning: everybody on this machine may read .*token$/)
  )
  const file = here.write(
    'open.yaml',
    'http: { listen: "off", token: hunter2 }\nmqtt: { listen: "off" }',
    0o644
  )
  const open = await check({ file, machine: { ...thisMachine, ...ALL_WELL }, env: {} })
  const inline = open.list.find(({ group }) => group === 'secrets')
  expect(inline).toMatchObject({
    severity: 'warning',
    where: expect.stringMatching(/open\.yaml:1:\d+: http\.token$/)
  })
  expect(JSON.stringify(open.list)).not.toContain('hunter2')
  here.write('open.yaml', 'http: { listen: "off", token: hunter2 }\nmqtt: { listen: "off" }', 0o600)
  const closed = await check({ file, machine: { ...thisMachine, ...ALL_WELL }, env: {} })
  expect(closed.list.filter(({ group }) => group === 'secrets')).toEqual([])
})

test('a disk that is too small for the log, full, in memory or unknown is told with what to do', async () => {
  const here = place()
  const on = (fileSystem: ReturnType<Machine['fileSystemOf']>) =>
    here.check('log: { bytes_max: 4GiB }', { fileSystemOf: () => fileSystem })
  const small = await on({ freeBytes: 2 * GIB, kind: undefined })
  expect(small.list.find(({ severity }) => severity === 'warning')).toMatchObject({
    what: '2.0 GiB are free, and the log may still grow by 4.0 GiB',
    where: expect.stringMatching(/fieldline\.yaml:1:\d+: log\.bytes_max$/),
    todo: 'make room, or set log.bytes_max to 1.0GiB at most'
  })
  const full = await on({ freeBytes: 1000, kind: undefined })
  expect(full.exitCode(false)).toBe(1)
  const memory = await on({ freeBytes: 100 * GIB, kind: 'memory' })
  expect(memory.list.find(({ severity }) => severity === 'warning')?.why).toContain(
    'a PUBACK would not survive a power loss'
  )
  const unknown = await here.check('log: { bytes_max: 4GiB }', {
    fileSystemOf: () => {
      throw new Error('EIO')
    }
  })
  expect(complaints(unknown)).toContainEqual(expect.stringMatching(/^note: the free space/))
})

test('a file system of memory is recognised as one', () => {
  // Linux has one there; elsewhere the test has nothing to look at.
  if (!fs.existsSync('/dev/shm')) return
  expect(thisMachine.fileSystemOf('/dev/shm').kind).toBe('memory')
  expect(thisMachine.fileSystemOf('/proc').kind).toBeUndefined()
})

test('what the log has used already need not be free', async () => {
  const here = place()
  fs.mkdirSync(path.join(here.directory, 'data', 'telemetry'), { recursive: true })
  fs.writeFileSync(path.join(here.directory, 'data', 'telemetry', 'other'), Buffer.alloc(3 << 20))
  const findings = await here.check('log: { bytes_max: 4MiB }', {
    fileSystemOf: () => ({ freeBytes: 2 << 20, kind: undefined })
  })
  expect(findings.list.map(({ what }) => what)).toContain(
    '2.0 MiB are free; the log may still grow by 1.0 MiB'
  )
})

test('a data directory that is a file, or of somebody else, is told', async () => {
  const here = place()
  here.write('data', 'no directory')
  const file = await here.check('log: {}')
  expect(complaints(file)).toContainEqual(expect.stringMatching(/^error: .*data is no directory$/))
  fs.rmSync(path.join(here.directory, 'data'))
  fs.mkdirSync(path.join(here.directory, 'data'))
  here.write('data/lock', '1')
  const foreign = await here.check('log: {}', { uid: 12_345 })
  const found = complaints(foreign)
  expect(found).toContainEqual(expect.stringMatching(/^warning: .*lock belongs to another user/))
  expect(found).toContainEqual(expect.stringMatching(/^note: .* this check runs as 12345$/))
})

test('a directory that this user cannot write, and a read-only disk, are errors of their own', async () => {
  const here = place()
  fs.mkdirSync(path.join(here.directory, 'data'))
  const refused = await here.check('log: {}', { whyNotWritable: () => 'EACCES' })
  expect(complaints(refused)).toContainEqual(
    expect.stringMatching(/^error: .*data cannot be written by this user \(EACCES\)$/)
  )
  const readOnly = await here.check('log: {}', { whyNotWritable: () => 'EROFS' })
  expect(complaints(readOnly)).toContainEqual(
    expect.stringMatching(/^error: the file system of .*data is read-only$/)
  )
  const absent = await here.check('agent: { data: $/not/yet }', { whyNotWritable: () => 'EACCES' })
  expect(complaints(absent)).toContainEqual(expect.stringMatching(/^error: .* cannot be made in /))
  expect(thisMachine.whyNotWritable(here.directory)).toBeUndefined()
  expect(thisMachine.whyNotWritable(path.join(here.directory, 'none'))).toBe('ENOENT')
})

test('a damaged agent.json is warned of, as the next start would draw a new id', async () => {
  const here = place()
  fs.mkdirSync(path.join(here.directory, 'data'))
  here.write('data/agent.json', '{')
  expect(complaints(await here.check('log: {}'))).toContainEqual(
    expect.stringMatching(/^warning: .*agent\.json is damaged: the agent would take a new id$/)
  )
})

async function logIn(directory: string, records: number): Promise<DurableLog> {
  const log = await DurableLog.open({
    directory: path.join(directory, 'data', 'telemetry'),
    logger: silentLogger,
    bytesMax: 64 << 20,
    overflow: 'drop_oldest',
    sync: 'group',
    onFailure: () => {}
  })
  await log.append(Array.from({ length: records }, (_, n) => Buffer.from(`record ${n}`)))
  return log
}

test('both logs are read through, and a defect is told with its place', async () => {
  const here = place()
  await (await logIn(here.directory, 50)).close()
  const sound = await here.check('log: {}')
  expect(sound.list.map(({ what }) => what)).toContainEqual(
    expect.stringMatching(/^telemetry: 50 records in 1 segment, .* read: sound$/)
  )
  const directory = path.join(here.directory, 'data', 'telemetry')
  const segment = fs.readdirSync(directory).find(name => name.endsWith('.seg'))!
  const file = path.join(directory, segment)
  const bytes = fs.readFileSync(file)
  bytes[bytes.indexOf('record 20')] ^= 0xff
  fs.writeFileSync(file, bytes)
  const damaged = await here.check('log: {}')
  expect(damaged.list.filter(({ severity }) => severity === 'error')).toMatchObject([
    { group: 'logs', where: expect.stringMatching(new RegExp(`${segment}:\\d+$`)) }
  ])
  expect(damaged.exitCode(false)).toBe(1)
  // Nothing was changed.
  expect(fs.readFileSync(file).equals(bytes)).toBe(true)
})

test('a log in use is checked without its lock, and its writer goes on', async () => {
  const here = place()
  const lock = await lockDirectory(path.join(here.directory, 'data'))
  const log = await logIn(here.directory, 10)
  onTestFinished(async () => {
    await log.close()
    lock.release()
  })
  const findings = await here.check('log: {}')
  expect(findings.list.map(({ what }) => what)).toContainEqual(
    expect.stringMatching(/^telemetry: 10 records .*: sound; an agent is running on it$/)
  )
  await log.append([Buffer.from('one more')])
  expect(log.status.end).toBe(11)
})

test('segments of a newer format and what was set aside are told', async () => {
  const here = place()
  await (await logIn(here.directory, 3)).close()
  const directory = path.join(here.directory, 'data', 'telemetry')
  for (const name of ['format-9', 'quarantine']) {
    fs.mkdirSync(path.join(directory, name))
    fs.writeFileSync(path.join(directory, name, '00000000000000000000.seg'), 'bytes')
  }
  const found = complaints(await here.check('log: {}'))
  expect(found).toContain('warning: telemetry: 1 segment of a newer format')
  expect(found).toContain('note: telemetry: 5 B of damaged bytes were set aside in 1 file')
})

test("a port that somebody listens on is an error, and a note when it is the running agent's", async () => {
  const here = place()
  const server = net.createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as net.AddressInfo
  const yaml = `mqtt: { listen: '127.0.0.1:${port}' }`
  const taken = await here.check(yaml)
  expect(complaints(taken)).toContainEqual(expect.stringMatching(/^error: Cannot listen on/))
  // This process owns the directory, and the port is its own.
  const lock = await lockDirectory(path.join(here.directory, 'data'))
  const ours = await here.check(yaml)
  lock.release()
  expect(complaints(ours)).toContain(
    `note: mqtt on 127.0.0.1:${port}: in use by the running agent, process ${process.pid}`
  )
  expect(ours.exitCode(true)).toBe(0)
})

test('clock, open files and memory are held against the configuration', async () => {
  const here = place()
  const yaml = "mqtt: { listen: 'off', connections_max: 5000, inflight_bytes_max: 512MiB }"
  const findings = await here.check(yaml, {
    now: () => Date.UTC(1970, 0, 2),
    descriptorsMax: () => 1024,
    memoryBytes: () => 512 << 20
  })
  const found = complaints(findings)
  expect(found).toContainEqual(expect.stringMatching(/^note: the clock says 1970-01-02/))
  expect(found).toContain('warning: 1024 open files are too few for 5000 connections')
  expect(found).toContainEqual(
    expect.stringMatching(/^warning: .* at the limits of the configuration/)
  )
})

test('a model that is missing is an error with its line, one beside another scorer a note', async () => {
  const here = place()
  const models = 'models:\n    - { name: pumps, path: $/gone.onnx }'
  const missing = await here.check(`detector:\n  scorer: onnx\n  ${models}`)
  expect(missing.list.find(({ group }) => group === 'models')).toMatchObject({
    severity: 'error',
    what: "model 'pumps' cannot be used",
    why: expect.stringContaining('cannot be read'),
    where: expect.stringMatching(/fieldline\.yaml:4:\d+: detector\.models\[0\]\.path$/)
  })
  const idle = await here.check(`detector:\n  ${models}`)
  expect(complaints(idle)).toContainEqual(expect.stringMatching(/^note: models are not used/))
})

test('a model is opened as the detector would, and a changed file beside its description is an error', async () => {
  const here = place()
  const { onnx, json } = buildExample()
  fs.writeFileSync(path.join(here.directory, 'model.onnx'), onnx)
  here.write('model.json', json)
  const yaml = 'detector:\n  scorer: onnx\n  models: [{ name: pumps, path: $/model.onnx }]'
  const sound = await here.check(yaml)
  const model = sound.list.find(({ group }) => group === 'models')
  // Where the runtime has no binary the description alone is tried.
  const tried = [/^model 'pumps' loads and answers/, /^model 'pumps' has a valid description/]
  expect(tried.some(text => text.test(model!.what))).toBe(true)
  fs.appendFileSync(path.join(here.directory, 'model.onnx'), 'x')
  const changed = await here.check(yaml)
  expect(changed.list.find(({ group }) => group === 'models')).toMatchObject({
    severity: 'error',
    why: expect.stringContaining('describes another model')
  })
})
