import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { check } from '../../cli/check/check.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const USER = os.userInfo().username
const GROUP = `"$(id -gn ${USER})"`

/** Who runs this test may be root, who reads everything: `closed` are those that may not be read. */
function box() {
  const directory = temporaryDirectory()
  const closed = new Set<string>()
  const write = (name: string, text: string) => {
    const file = path.join(directory, name)
    fs.writeFileSync(file, text, { mode: 0o600 })
    return file
  }
  const refuse = (file: unknown) => {
    if (closed.has(String(file))) throw Object.assign(new Error('denied'), { code: 'EACCES' })
  }
  const { accessSync, readFileSync } = fs
  vi.spyOn(fs, 'accessSync').mockImplementation((file, mode) => {
    refuse(file)
    accessSync(file, mode)
  })
  vi.spyOn(fs, 'readFileSync').mockImplementation((file, options) => {
    refuse(file)
    return readFileSync(file, options)
  })
  onTestFinished(() => void vi.restoreAllMocks())

  const files = {
    users: write('users', ''),
    token: write('token', 'hunter2'),
    ca: write('ca.pem', '')
  }
  const file = write(
    'fieldline.yaml',
    `agent: { data: ${directory}/data }
mqtt: { listen: 'off', users_file: ${files.users} }
http: { listen: 'off', token: '@file:${files.token}' }
kafka: { tls: { ca: ${files.ca} } }
`
  )
  /** @returns Of each file that cannot be used: why, and what to do as root, if that helps. */
  const advice = async () => {
    const { list } = await check({ file, env: {} })
    return list
      .filter(({ what }) => /cannot be (read|used).*(EACCES|ENOENT)/.test(what))
      .map(({ why, todo }) => [
        why,
        /as root: (.*); else run this check as/.exec(todo!)?.[1] ?? todo
      ])
  }
  return { directory, files, closed, advice }
}

test('a file that this user may not read is told with who that is and how to give the right', async () => {
  const { files, closed, advice } = box()
  const { users, token, ca } = files
  for (const file of [users, token, ca]) closed.add(file)
  const why = `user ${USER} may not read it`
  expect(await advice()).toEqual([
    [why, `chgrp ${GROUP} ${token} && chmod g+r ${token}`],
    // `fieldline passwd` keeps the owner, and leaves nobody else a right.
    [why, `chown ${USER}: ${users} && chmod u+r ${users}`],
    [why, `chgrp ${GROUP} ${ca} && chmod g+r ${ca}`]
  ])
})

test('where a directory keeps this user from a file, that is the one to be opened', async () => {
  const { directory, files, closed, advice } = box()
  for (const file of [directory, files.users, files.ca]) closed.add(file)
  const todo = `chgrp ${GROUP} ${directory} && chmod g+x ${directory}`
  const enter = [`user ${USER} may not enter ${directory}`, todo]
  expect(await advice()).toEqual([enter, enter])
})

test('what a group may read or enter already stays with that group, which this user is to join', async () => {
  const { directory, files, closed, advice } = box()
  const gid = process.getgid!() || 1
  for (const path of [directory, files.ca]) fs.chownSync(path, process.getuid!(), gid)
  fs.chmodSync(files.ca, 0o640)
  const join = (path: string) => `usermod -aG "$(stat -c %G ${path})" ${USER}`
  closed.add(files.ca)
  expect(await advice()).toEqual([[`user ${USER} may not read it`, join(files.ca)]])
  fs.chmodSync(directory, 0o710)
  closed.add(directory)
  expect(await advice()).toEqual([[`user ${USER} may not enter ${directory}`, join(directory)]])
})

test('a file of users that is not there is to be written', async () => {
  const { files, advice } = box()
  fs.rmSync(files.users)
  expect(await advice()).toEqual([[undefined, 'write it with: fieldline passwd']])
})
