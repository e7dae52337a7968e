import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../../../cli/config.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

const URL_SECRET = 'T0-path-secret'

function load(text: string) {
  const file = path.join(temporaryDirectory(), 'fieldline.yaml')
  writeFileSync(file, text)
  return loadFieldlineConfig({ file, env: {} })
}

test('without a section alerts go to local subscribers alone', async () => {
  const { config } = await load('{}')
  expect(config.alerts).toEqual({ local: true, upstreams: [], webhooks: [], lagRecordsMax: 10_000 })
})

test('a webhook needs a name and an address; its secrets are not printed', async () => {
  const { config, effective } = await load(`
alerts:
  webhooks:
    - name: ops
      url: https://hooks.example/${URL_SECRET}
      headers: [{ name: authorization, value: Bearer ${URL_SECRET} }]
`)
  expect(config.alerts.webhooks).toEqual([
    {
      name: 'ops',
      url: `https://hooks.example/${URL_SECRET}`,
      format: 'alertmanager',
      headers: [{ name: 'authorization', value: { text: `Bearer ${URL_SECRET}` } }],
      ...{ timeoutMs: 10_000, resendIntervalMs: 60_000, severityMin: 'info' }
    }
  ])
  expect(JSON.stringify(effective)).not.toContain(URL_SECRET)
  expect(JSON.stringify(effective)).toContain('"url":"[secret]"')
})

test('the mistakes of the section are reported together, without the addresses', async () => {
  const mistakes = load(`
upstreams: [{ name: plant, url: mqtt://plant, topics: ['alerts/#'] }]
alerts:
  locale: true
  webhooks:
    - { name: a, url: ftp://x/${URL_SECRET} }
    - { name: b, url: 'https://u:${URL_SECRET}@x/' }
    - { name: b, url: http://x/, resend_interval: 10ms, format: slack }
    - name: c
      url: http://x/
      headers: [{ name: 'a b', value: x }, { name: Content-Type, value: x }]
`)
  await expect(mistakes).rejects.toThrow(/alerts\/#' brings nothing/)
  const { message } = (await mistakes.catch(error => error)) as Error
  for (const part of [
    "did you mean 'local'",
    'expected http(s)://HOST',
    "give a header 'authorization'",
    'must be at least 1s',
    "'a b' is no name of an HTTP header",
    "'Content-Type' is set by Fieldline itself"
  ]) {
    expect(message).toContain(part)
  }
  expect(message).not.toContain(URL_SECRET)
})

test('an upstream that alerts are to go to must be one of the list', async () => {
  const unknown = load(`
upstreams: [{ name: plant, url: mqtt://plant, topics: [t] }]
alerts: { upstreams: [plant, plannt, plant] }
`)
  await expect(unknown).rejects.toThrow("'plant' stands twice")
  const near = load(`
upstreams: [{ name: plant, url: mqtt://plant, topics: [t] }]
alerts: { upstreams: [plannt] }
`)
  await expect(near).rejects.toThrow("there is no upstream 'plannt' (did you mean 'plant'?)")
})
