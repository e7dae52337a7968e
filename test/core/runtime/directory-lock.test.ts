import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { lockDirectory } from '../../../core/runtime/directory-lock.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

/** A process that locks the directory the way we do, tells so, and stays. */
async function lockElsewhere(directory: string) {
  const program = `
    const fs = require('node:fs')
    const fd = fs.openSync(${JSON.stringify(path.join(directory, 'lock'))}, 'a+')
    const stdio = ['ignore', 'ignore', 'inherit', fd]
    const { status } = require('node:child_process').spawnSync('flock', ['-n', '3'], { stdio })
    fs.ftruncateSync(fd, 0)
    fs.writeSync(fd, process.pid + '\\n')
    process.stdout.write(String(status))
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [status] = await once(child.stdout, 'data')
  expect(String(status)).toBe('0')
  return child
}

test('a directory that does not exist is made and locked', async () => {
  const directory = path.join(temporaryDirectory(), 'a', 'b')
  const lock = await lockDirectory(directory)
  expect(fs.readFileSync(path.join(directory, 'lock'), 'utf8')).toBe(`${process.pid}\n`)
  lock.release()
})

test('a second lock of a directory is refused until the first is released', async () => {
  const directory = temporaryDirectory()
  const lock = await lockDirectory(directory)
  await expect(lockDirectory(directory)).rejects.toMatchObject({
    code: 'DIRECTORY_LOCKED',
    message: expect.stringContaining(`process ${process.pid}`)
  })
  lock.release()
  lock.release()
  const again = await lockDirectory(directory)
  again.release()
})

test('a lock of another process is respected, and free once that process is killed', async () => {
  const directory = temporaryDirectory()
  const child = await lockElsewhere(directory)
  const refused = lockDirectory(directory)
  await expect(refused).rejects.toMatchObject({ code: 'DIRECTORY_LOCKED' })
  await expect(refused).rejects.toThrow(`${directory} is in use by process ${child.pid}`)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await lockDirectory(directory)
  lock.release()
})

test('a lock outlives the children that the owner starts and dies with the owner alone', async () => {
  const directory = temporaryDirectory()
  const lock = await lockDirectory(directory)
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  await once(child, 'spawn')
  lock.release()
  const again = await lockDirectory(directory)
  again.release()
})

test('without the flock program the message says what to install', async () => {
  const directory = temporaryDirectory()
  const { PATH } = process.env
  onTestFinished(() => {
    process.env.PATH = PATH
  })
  process.env.PATH = directory
  await expect(lockDirectory(directory)).rejects.toMatchObject({
    code: 'TOOL_MISSING',
    message: expect.stringContaining('util-linux')
  })
})

test('a directory that cannot be made is named', async () => {
  const file = path.join(temporaryDirectory(), 'file')
  fs.writeFileSync(file, '')
  await expect(lockDirectory(path.join(file, 'data'))).rejects.toMatchObject({
    code: 'DIRECTORY_UNUSABLE',
    message: expect.stringContaining(file)
  })
})
