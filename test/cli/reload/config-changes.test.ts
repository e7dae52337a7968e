import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { type LoadedFieldlineConfig, loadFieldlineConfig } from '../../../cli/config.ts'
import { changedPaths, changeOf } from '../../../cli/reload/config-changes.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

const PARTS = {
  sections: [['logging'], ['alerts'], ['routes'], ['detector']],
  except: [['detector', 'scope']]
}

function load(text: string, env: Record<string, string> = {}): Promise<LoadedFieldlineConfig> {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  writeFileSync(file, text)
  return loadFieldlineConfig({ file, env })
}

async function change(before: string, after: string) {
  return changeOf(await load(before), await load(after), PARTS)
}

test.each([
  [{ a: 1 }, { a: 1 }, []],
  [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, [['a', 'c']]],
  [{ a: { b: 1 } }, { a: {}, d: 1 }, [['a', 'b'], ['d']]],
  [{ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }, [['a']]],
  [{ a: null }, { a: { b: 1 } }, [['a']]],
  [{ a: [1] }, { a: { 0: 1 } }, [['a']]]
])('of %j and %j what differs is %j', (before, after, paths) => {
  expect(changedPaths(before, after)).toEqual(paths)
})

test('the same configuration changes nothing, nor does a default that is written down', async () => {
  const { next, changed, needsRestart } = await change('', 'detector: { sensitivity: normal }\n')
  expect([changed, needsRestart]).toEqual([[], []])
  expect(next.config).toEqual((await load('')).config)
})

test('what can be exchanged is in effect, what cannot waits and is named', async () => {
  const after = [
    'agent: { stop_timeout: 5s }',
    'mqtt: { listen: 127.0.0.1:1999 }',
    'routes: [{ name: all, match: "telemetry/{site}/{device}", topic: all }]',
    'detector: { scope: central, sensitivity: high }',
    'logging: { level: debug }'
  ].join('\n')
  const before = await load('detector: { raise: 0.9 }\n')
  const { next, changed, sections, needsRestart } = changeOf(before, await load(after), PARTS)
  expect(changed).toEqual(['logging.level', 'routes', 'detector.sensitivity', 'detector.raise'])
  expect([...sections]).toEqual(['logging', 'routes', 'detector'])
  expect(needsRestart).toEqual(['agent.stop_timeout', 'mqtt.listen', 'detector.scope'])
  expect(next.config).toMatchObject({
    agent: { stopTimeoutMs: before.config.agent.stopTimeoutMs },
    mqtt: before.config.mqtt,
    routes: [{ name: 'all' }],
    detector: { scope: 'edge', sensitivity: 'high', raise: 0.8 },
    logging: { level: 'debug' }
  })
  expect(next.hash).not.toBe(before.hash)
  // The next time it is read nothing is new, and the same waits.
  const again = changeOf(next, await load(after), PARTS)
  expect([again.changed, again.needsRestart]).toEqual([[], needsRestart])
})

test('a section that fits only together with one that must wait, waits too; the others do not', async () => {
  const { next, changed, needsRestart } = await change(
    'uplink: { dead_letter_topic: trash }',
    [
      'uplink: { dead_letter_topic: letters }',
      'routes: [{ name: all, match: "telemetry/{site}/{device}", topic: trash }]',
      'logging: { level: warn }'
    ].join('\n')
  )
  expect(changed).toEqual(['logging.level'])
  expect(needsRestart).toEqual(['uplink.dead_letter_topic', 'routes'])
  expect(next.config.routes[0].name).toBe('default')
})

test('an exchanged secret is a change that shows no secret', async () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the configuration's own variables
  const text = 'http: { token: "${TOKEN}" }\n'
  const [before, after] = [
    await load(text, { TOKEN: 'first' }),
    await load(text, { TOKEN: 'second' })
  ]
  expect(before.hash).toBe(after.hash)
  const found = changeOf(before, after, PARTS)
  expect(found.needsRestart).toEqual(['http.token'])
  expect(JSON.stringify([found.changed, found.needsRestart, found.next.effective])).not.toMatch(
    /first|second/
  )
})
