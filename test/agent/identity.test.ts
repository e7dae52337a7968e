import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { hardwareFingerprint, loadIdentity, readBootId } from '../../agent/identity.ts'
import { AGENT_ID_PATTERN } from '../../core/contract/event-id.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

test('an agent draws its id once and keeps it', () => {
  const directory = temporaryDirectory()
  const first = loadIdentity(directory, undefined, 'machine-1')
  expect(first.agentId).toMatch(AGENT_ID_PATTERN)
  expect(first.agentId).toMatch(/-[0-9a-f]{8}$/)
  expect([first.moved, first.lost]).toEqual([false, false])
  expect(loadIdentity(directory, undefined, 'machine-1')).toEqual(first)
})

test('on another machine (a cloned SD card) it draws a new id, once, and offsets need a new epoch', () => {
  const directory = temporaryDirectory()
  const first = loadIdentity(directory, undefined, 'machine-1')
  const clone = loadIdentity(directory, undefined, 'machine-2')
  expect(clone.moved).toBe(true)
  expect(clone.agentId).not.toBe(first.agentId)
  expect(loadIdentity(directory, undefined, 'machine-2')).toEqual({ ...clone, moved: false })
})

test('where no fingerprint can be read the stored id is kept, and the stored fingerprint too', () => {
  const directory = temporaryDirectory()
  const first = loadIdentity(directory, undefined, 'machine-1')
  const files = [path.join(directory, 'absent')]
  expect(loadIdentity(directory, undefined, hardwareFingerprint(files))).toEqual(first)
  expect(loadIdentity(directory, undefined, 'machine-2').moved).toBe(true)
})

test('the configured id wins, also on another machine, which still needs a new epoch', () => {
  const directory = temporaryDirectory()
  loadIdentity(directory, undefined, 'machine-1')
  expect(loadIdentity(directory, 'gateway-7', 'machine-1')).toEqual({
    agentId: 'gateway-7',
    moved: false,
    lost: false
  })
  expect(loadIdentity(directory, 'gateway-7', 'machine-2')).toEqual({
    agentId: 'gateway-7',
    moved: true,
    lost: false
  })
})

test.each(['', '{', 'null', '[]', '5', '{"agentId":"a b"}', '{"agentId":5}', '{}', '\0\0\0\0'])(
  'a damaged agent.json (%j) costs the id, not the start, and that is told once',
  text => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'agent.json'), text)
    const identity = loadIdentity(directory, undefined, 'machine-1')
    expect(identity.agentId).toMatch(/-[0-9a-f]{8}$/)
    expect(identity.lost).toBe(true)
    expect(loadIdentity(directory, undefined, 'machine-1')).toEqual({ ...identity, lost: false })
  }
)

test('a damaged agent.json loses no id that the configuration gives', () => {
  const directory = temporaryDirectory()
  fs.writeFileSync(path.join(directory, 'agent.json'), '{')
  expect(loadIdentity(directory, 'gateway-7', 'machine-1').lost).toBe(false)
})

test('a directory that cannot be written is one clear error', () => {
  const missing = path.join(temporaryDirectory(), 'missing')
  expect(() => loadIdentity(missing, undefined, 'm')).toThrow(
    expect.objectContaining({
      code: 'DIRECTORY_UNUSABLE',
      message: expect.stringContaining(missing)
    })
  )
})

test('placeholders of board makers are no fingerprint; the first real one counts', () => {
  const directory = temporaryDirectory()
  const texts = ['', '00000000\0', 'To be filled by O.E.M.', 'Default string', 'serial-1\0\n']
  const files = texts.map((text, n) => {
    const file = path.join(directory, `${n}`)
    fs.writeFileSync(file, text)
    return file
  })
  expect(hardwareFingerprint(files)).toBe('serial-1')
  expect(hardwareFingerprint(files.slice(0, 4))).toBeUndefined()
})

test('a boot has one id', () => {
  expect(readBootId()).toBe(readBootId())
})
