import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../../../cli/config.ts'
import type { ConfigChange } from '../../../cli/reload/config-changes.ts'
import { Reloading } from '../../../cli/reload/reloading.ts'
import { createLogger } from '../../../core/runtime/log.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

const PARTS = { sections: [['logging'], ['routes']], except: [] }

async function start(apply: (change: ConfigChange) => Promise<void> = async () => {}) {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  writeFileSync(file, 'logging: { level: info }\n')
  const load = () => loadFieldlineConfig({ file, env: {} })
  const lines: Record<string, unknown>[] = []
  const applied: string[][] = []
  const options = {
    loaded: await load(),
    load,
    parts: PARTS,
    apply: async (change: ConfigChange) => {
      await apply(change)
      applied.push(change.changed)
    },
    supervisor: undefined,
    summary: () => '',
    logger: createLogger('info', line => lines.push(JSON.parse(line))),
    now: () => 77
  }
  return { file, lines, applied, options, reloading: new Reloading(options) }
}

test('a mistake in the new file changes nothing, and is told with its line', async () => {
  const { file, lines, applied, reloading } = await start()
  const before = reloading.loaded
  writeFileSync(file, 'logging: { level: debug }\nroutes:\n  - { name: a, mtach: x, topic: t }\n')
  await reloading.reload()
  expect([applied, reloading.loaded]).toEqual([[], before])
  const { hash, reloadedAt, lastError, needsRestart } = reloading.status
  expect({ hash, reloadedAt, needsRestart }).toEqual({
    ...{ hash: before.hash, reloadedAt: null, needsRestart: [] }
  })
  expect(lastError?.message).toContain(`${file}:3:16: routes[0].mtach: unknown key`)
  const findings = expect.arrayContaining([expect.stringContaining(`${file}:3:16`)])
  expect(lines).toEqual([expect.objectContaining({ event: 'config.refused', findings })])

  // Mended: it is in effect, and the mistake forgotten.
  writeFileSync(file, 'logging: { level: debug }\n')
  await reloading.reload()
  expect(applied).toEqual([['logging.level']])
  expect(reloading.status).toMatchObject({ reloadedAt: 77, lastError: null })
})

test('a file that is gone changes nothing', async () => {
  const { file, lines, reloading } = await start()
  rmSync(file)
  await reloading.reload()
  expect(lines).toMatchObject([{ event: 'config.refused', code: 'CONFIG_UNREADABLE' }])
  expect(reloading.status.lastError?.message).toContain('there is no such file')
})

test('what needs a restart is named in one line and stays until it is taken back', async () => {
  const { file, lines, applied, reloading } = await start()
  writeFileSync(file, 'logging: { level: debug }\nmqtt: { connections_max: 7 }\n')
  await reloading.reload()
  expect(applied).toEqual([['logging.level']])
  expect(reloading.status.needsRestart).toEqual(['mqtt.connections_max'])
  expect(lines).toMatchObject([{ event: 'config.reloaded', level: 'warn' }])
  expect(reloading.loaded.config.mqtt.connectionsMax).not.toBe(7)
  writeFileSync(file, 'logging: { level: debug }\n')
  await reloading.reload()
  expect(reloading.status.needsRestart).toEqual([])
  expect(applied).toHaveLength(1)
})

test('signals that come while one is answered are answered once more, with the newest file', async () => {
  let go = () => {}
  const { file, applied, reloading } = await start(
    () =>
      new Promise(resolve => {
        go = resolve
      })
  )
  writeFileSync(file, 'logging: { level: debug }\n')
  const first = reloading.reload()
  await expect.poll(() => String(go)).not.toBe('() => {}')
  for (const level of ['warn', 'error']) {
    writeFileSync(file, `logging: { level: ${level} }\n`)
    void reloading.reload()
  }
  const firstGo = go
  firstGo()
  await expect.poll(() => go).not.toBe(firstGo)
  go()
  await first
  expect(applied).toEqual([['logging.level'], ['logging.level']])
  expect(reloading.loaded.config.logging.level).toBe('error')
})

test('a process without a file lives on and says so', async () => {
  const { lines, options } = await start()
  let renewed = 0
  const reloading = new Reloading({ ...options, load: undefined, renew: () => renewed++ })
  await reloading.reload()
  expect(lines).toMatchObject([{ event: 'config.no_file' }])
  expect(renewed).toBe(1)
})

test('what a fault of ours kept from taking effect is tried again the next time', async () => {
  let faults = 1
  const { file, lines, applied, reloading } = await start(async () => {
    if (faults-- > 0) throw new Error('a fault')
  })
  writeFileSync(file, 'logging: { level: debug }\n')
  await reloading.reload()
  expect(lines).toMatchObject([{ event: 'config.reload_failed' }])
  expect(reloading.status).toMatchObject({ reloadedAt: null, lastError: { message: 'a fault' } })
  await reloading.reload()
  expect(applied).toEqual([['logging.level']])
  expect(reloading.status.lastError).toBeNull()
})
