import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import type { AlertEvent } from '../../../core/contract/alert-event.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { append, event, openAlertLog, receiver, startSinks, until } from './sink-kit.ts'

const CLOUD = { name: 'ops', format: 'cloudevents' }

test('a record that is no alert, and an event without its fields, hold nobody up', async () => {
  const directory = temporaryDirectory()
  const [hook, log] = [await receiver(), await openAlertLog(directory)]
  const webhooks = [{ name: 'ops', url: hook.url }]
  const { sinks } = await startSinks(directory, log, { webhooks })
  await log.append([Buffer.from('no frame')])
  const { id, data } = event(1, 'raised')
  const { site, device, alertId } = data
  await append(log, { id, data: { site, device, alertId } } as unknown as AlertEvent)
  await append(log, event(1, 'raised', { device: 'b' }))
  await until(() => sinks.status[0].delivered === 1)
  expect(sinks.status[0]).toMatchObject({ refused: 1, state: 'delivering' })
  expect(hook.bodies.map(([{ labels }]) => labels.device)).toEqual(['b'])
})

test('one sink that hangs delays no other', async () => {
  const directory = temporaryDirectory()
  const [slow, fast, log] = [await receiver(), await receiver(), await openAlertLog(directory)]
  slow.reply = () => ({ status: 0, mute: true })
  const webhooks = [
    { ...CLOUD, name: 'slow', url: slow.url },
    { ...CLOUD, name: 'fast', url: fast.url }
  ]
  const { sinks } = await startSinks(directory, log, { webhooks })
  const events = [event(1, 'raised'), event(2, 'updated'), event(3, 'cleared')]
  await append(log, ...events)
  await until(() => slow.requests.length === 1 && sinks.status[1].backlogRecords === 0)
  expect(fast.bodies).toEqual(events)
  expect(sinks.status[0]).toMatchObject({ backlogRecords: 3, delivered: 0 })
})

test('the cursor of the log moves only behind what is in the saved state', async () => {
  const directory = temporaryDirectory()
  const [hook, log] = [await receiver(), await openAlertLog(directory)]
  const webhooks = [{ ...CLOUD, url: hook.url }]
  const { sinks } = await startSinks(directory, log, { webhooks })
  await append(log, event(1, 'raised'))
  await until(() => sinks.status[0].delivered === 1)
  const file = path.join(directory, 'alert-sinks', 'webhook.ops.json')
  const saved = () => JSON.parse(readFileSync(file, 'utf8').slice(9))
  expect(saved()).toMatchObject({ cursor: { offset: 0 }, open: [] })
  expect(log.backlog('webhook.ops')).toBe(1)
  await until(() => log.backlog('webhook.ops') === 0)
  expect(saved()).toMatchObject({ cursor: { offset: 1 }, open: [{ offset: 0 }] })
})

test('a stop saves how far it came, so an orderly restart repeats nothing', async () => {
  const directory = temporaryDirectory()
  const [hook, log] = [await receiver(), await openAlertLog(directory)]
  const webhooks = [{ ...CLOUD, url: hook.url }]
  const life = await startSinks(directory, log, { webhooks })
  await append(log, event(1, 'raised'), event(2, 'updated'))
  await life.sinks.stop(5000)
  await append(log, event(3, 'cleared'))
  const again = await startSinks(directory, log, { webhooks })
  await until(() => again.sinks.status[0].delivered === 1)
  expect(hook.bodies.map(({ data }) => data.state)).toEqual(['raised', 'updated', 'cleared'])
})

test('a damaged state is told, and the sink goes on at the cursor of the log', async () => {
  const directory = temporaryDirectory()
  const [hook, log] = [await receiver(), await openAlertLog(directory)]
  const webhooks = [{ ...CLOUD, url: hook.url }]
  const life = await startSinks(directory, log, { webhooks })
  await append(log, event(1, 'raised'))
  await life.sinks.stop(5000)
  writeFileSync(path.join(directory, 'alert-sinks', 'webhook.ops.json'), '00000000 {"version":1')
  await append(log, event(2, 'cleared'))
  const { sinks, lines } = await startSinks(directory, log, { webhooks })
  await until(() => sinks.status[0].delivered === 1)
  expect(hook.bodies.map(({ data }) => data.state)).toEqual(['raised', 'cleared'])
  expect(lines.map(line => JSON.parse(line).event)).toContain('alert_sink.state_damaged')
})
