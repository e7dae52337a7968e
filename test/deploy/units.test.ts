import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const directory = path.join(packageRoot(), 'deploy/systemd')
const units = fs.readdirSync(directory)
const systemd = spawnSync('systemd-analyze', ['--version']).error === undefined
if (!systemd) process.stderr.write('systemd-analyze: skipped, it is not installed\n')

/** Out of 10; 2.5 is the most that we grant ourselves. */
const EXPOSURE_MAX = 2.5

test.skipIf(!systemd).each(units)('%s is understood and exposes little', unit => {
  // The program of the unit is not installed here: a copy that names one that is.
  const copy = path.join(temporaryDirectory(), unit)
  const text = fs.readFileSync(path.join(directory, unit), 'utf8')
  fs.writeFileSync(copy, text.replace('/usr/bin/fieldline', '/bin/true'))
  const verified = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' })
  // What it says of other units of this machine is not ours.
  expect(verified.stderr.split('\n').filter(line => line.includes(unit))).toEqual([])

  const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', copy], {
    encoding: 'utf8'
  })
  const exposure = Number(/exposure level for \S+ ([\d.]+)/.exec(stdout)?.[1])
  expect(exposure).toBeLessThanOrEqual(EXPOSURE_MAX)
})

test.each(units)('%s keeps memory arenas, tasks and silence within bounds', unit => {
  const text = fs.readFileSync(path.join(directory, unit), 'utf8')
  for (const line of ['Type=notify', 'NotifyAccess=all', 'ProtectSystem=strict', 'KillMode=mixed'])
    expect(text.split('\n')).toContain(line)
  expect(text).toMatch(/^WatchdogSec=\d+s$/m)
  expect(text).toMatch(/^MemoryMax=\d+[MG]$/m)
  expect(text).toMatch(/^TasksMax=\d+$/m)
  expect(text).toMatch(/MALLOC_ARENA_MAX=2/)
})

test('young heaps are bounded where an operator can say otherwise: agent unit and image, not the command', () => {
  const deploy = path.dirname(directory)
  const read = (file: string) => fs.readFileSync(path.join(deploy, file), 'utf8')
  const [, options] = /^Environment=NODE_OPTIONS=(.+)$/m.exec(
    read('systemd/fieldline-agent.service')
  )!
  expect(options).toMatch(/^--max-semi-space-size=\d+$/)
  // Node.js refuses what it does not take from there.
  const started = spawnSync(process.execPath, ['-e', ''], { env: { NODE_OPTIONS: options } })
  expect(started.status, String(started.stderr)).toBe(0)
  expect(read('container/Containerfile')).toContain(` NODE_OPTIONS=${options}\n`)
  expect(read('systemd/fieldline-agent.service')).toMatch(
    /^EnvironmentFile=-\/etc\/default\/fieldline$/m
  )
  expect(read('systemd/fieldline-detector.service')).not.toContain('NODE_OPTIONS')
  expect(read('deb/fieldline')).not.toContain('--max-')
})
