import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { DEVICE_FILE } from '../../../agent/devices/device-file.ts'
import {
  DEVICE_READER,
  DeviceWatch,
  type DeviceWatchOptions
} from '../../../agent/devices/device-watch.ts'
import { Router, type RouterOptions } from '../../../agent/routing/router.ts'
import { DEFAULT_ROUTE, routesSchema } from '../../../core/contract/route-config.ts'
import { encodeStoredMessage } from '../../../core/contract/stored-message.ts'
import type { Disk } from '../../../core/log/disk.ts'
import { DurableLog } from '../../../core/log/log.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import { openClaimedReader } from '../../../core/log/reader-claim.ts'
import type { Logger } from '../../../core/runtime/log.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

const T0 = 1_795_336_000_000
const ROUTES = [
  {
    ...{ name: 'blobs', match: 'blob/{site}/{device}', codec: 'raw', topic: 'blobs' }
  },
  { ...DEFAULT_ROUTE, fields: [{ name: 't', unit: '°C', scale: 0.1 }] },
  { ...{ name: 'none', match: 'noise/{device}', drop: true } }
]
const ROUTER: RouterOptions = {
  ...{ agentId: 'gateway-7', routes: routesSchema.parse(ROUTES), deadLetterTopic: 'dead' },
  ...{ pastMsMax: 7 * 86_400_000, futureMsMax: 60_000, replayedAfterMs: 30_000 }
}

/** A data directory with its log, and what a process makes of it. */
class Box {
  readonly directory: string
  log!: DurableLog
  told: string[] = []
  #sent = 0

  constructor(directory = temporaryDirectory()) {
    this.directory = directory
  }

  async openLog(segmentBytes = 1 << 20): Promise<void> {
    this.log = await DurableLog.open({
      ...{ directory: path.join(this.directory, 'telemetry'), logger: silentLogger },
      ...{ bytesMax: 64 << 20, overflow: 'drop_oldest', sync: 'group', segmentBytes }
    } as Parameters<typeof DurableLog.open>[0])
  }

  /** @returns A watch that has read nothing yet. */
  open(
    disk: Disk = nodeDisk,
    changes: Partial<DeviceWatchOptions> = {},
    lagRecordsMax = 10_000
  ): Promise<DeviceWatch> {
    const { epoch, end: offset } = this.log.status
    const tell = (facts: { event: string }) => this.told.push(facts.event)
    return DeviceWatch.open({
      plan: {
        ...{ claim: this.log.claim(DEVICE_READER, lagRecordsMax), end: { epoch, offset } },
        ...{ router: ROUTER, dataDirectory: this.directory, devicesMax: 100 },
        fileBytesMax: 1 << 20
      },
      logger: { ...silentLogger, warn: tell, error: tell } as unknown as Logger,
      ...{ disk, followIntervalMs: 5 },
      ...changes
    })
  }

  async send(...messages: [topic: string, payload: string, clientId?: string][]): Promise<void> {
    await this.log.append(
      messages.map(([topic, payload, clientId = 'c-1']) =>
        encodeStoredMessage({
          ...{ topic, payload: Buffer.from(payload), qos: 1, retain: false, dup: false },
          ...{ packetId: 5, clientId, upstream: false, receivedAt: T0 + 1000 * this.#sent++ },
          ...{ monotonicMs: 1, bootId: 7n, clockUnsynced: false }
        })
      )
    )
  }

  /** What a detector does: reads all, decodes it, and so tells the watch. */
  async detect(watch: DeviceWatch, from = 0): Promise<void> {
    const router = new Router(ROUTER)
    router.onSighting = watch.note
    const reader = openClaimedReader(this.log.claim('detector', 0), { onGap: () => {} })
    await reader.seek({ epoch: this.log.status.epoch, offset: from })
    const signal = AbortSignal.abort()
    for (;;) {
      const batch = await reader.read({ bytesMax: 1 << 20, signal })
      if (!batch) break
      for (const record of batch.records) router.readings(record)
    }
    reader.close()
  }
}

const facts = (watch: DeviceWatch) =>
  watch.look({ sort: 'name' }).shown.map(({ rate: _, ...device }) => device)

const messagesOf = (watch: DeviceWatch) =>
  Object.fromEntries(watch.look({}).shown.map(({ device, messages }) => [device, messages]))

const TRAFFIC: [string, string, string?][] = [
  ['telemetry/plant7/pump-1', '{"t":214}'],
  ['telemetry/plant7/pump-2/t', '300', 'c-2'],
  ['telemetry/plant7/pump-1', '{"t":220,"u":1}', 'c-9'],
  ['telemetry/plant7/pump-1', 'no json'],
  ['blob/plant7/camera', '{"t":1}', 'c-3'],
  ['noise/loud', '1'],
  ['nowhere', '1']
]

test('a watch that reads by itself, and one that a detector tells, know the same', async () => {
  const seen = []
  for (const detects of [false, true]) {
    const box = new Box()
    await box.openLog()
    const watch = await box.open()
    if (!detects) watch.follow()
    await box.send(...TRAFFIC)
    if (detects) await box.detect(watch)
    await expect.poll(() => messagesOf(watch)).toEqual({ 'pump-1': 3, 'pump-2': 1, camera: 1 })
    seen.push(facts(watch))
    await watch.stop()
    await box.log.close()
  }
  expect(seen[0]).toEqual(seen[1].map(device => ({ ...device, values: expect.anything() })))
  expect(seen[1]).toEqual([
    {
      ...{ site: 'plant7', device: 'camera', firstSeenAt: T0 + 4000, lastSeenAt: T0 + 4000 },
      ...{ messages: 1, topic: 'blob/plant7/camera', clientsKnown: 1, values: [] },
      clients: [{ id: 'c-3', lastSeenAt: T0 + 4000 }]
    },
    {
      ...{ site: 'plant7', device: 'pump-1', firstSeenAt: T0, lastSeenAt: T0 + 3000 },
      ...{ messages: 3, topic: 'telemetry/plant7/pump-1', clientsKnown: 2 },
      clients: [
        { id: 'c-1', lastSeenAt: T0 + 3000 },
        { id: 'c-9', lastSeenAt: T0 + 2000 }
      ],
      values: [{ metric: 't', value: 22, unit: '°C', at: T0 + 2000 }]
    },
    {
      ...{ site: 'plant7', device: 'pump-2', firstSeenAt: T0 + 1000, lastSeenAt: T0 + 1000 },
      ...{ messages: 1, topic: 'telemetry/plant7/pump-2/t', clientsKnown: 1 },
      clients: [{ id: 'c-2', lastSeenAt: T0 + 1000 }],
      values: [{ metric: 't', value: 30, unit: '°C', at: T0 + 1000 }]
    }
  ])
})

test('what was in the log before the first start is nobody’s sighting', async () => {
  const box = new Box()
  await box.openLog()
  await box.send(...TRAFFIC)
  const watch = await box.open()
  await watch.catchUp()
  await box.detect(watch)
  expect(watch.counts.known).toBe(0)
  await box.send(['telemetry/plant7/pump-9', '{"t":1}'])
  await box.detect(watch)
  expect(messagesOf(watch)).toEqual({ 'pump-9': 1 })
  await watch.stop()
  await box.log.close()
})

test.each(['follow', 'detector'] as const)(
  'a kill at any moment counts each message once, and first seen stays (%s)',
  async mode => {
    const box = new Box()
    await box.openLog()
    let expected: unknown
    for (let life = 0; life < 4; life++) {
      const watch = await box.open()
      const progress = async () => {
        if (mode === 'follow') return
        // The detector's own snapshot is of some other moment.
        await box.detect(watch, life % 2 ? 0 : box.log.status.end - 3)
      }
      if (mode === 'detector') await watch.catchUp()
      else watch.follow()
      await box.send(...TRAFFIC)
      if (mode === 'detector') await box.detect(watch)
      await progress()
      const times = life + 1
      await expect
        .poll(() => messagesOf(watch))
        .toEqual({ 'pump-1': 3 * times, 'pump-2': times, camera: times })
      const first = facts(watch).map(({ device, firstSeenAt }) => [device, firstSeenAt])
      expected ??= first
      expect(first).toEqual(expected)
      // Every other life ends in order; the others' saves are those of their first moment.
      if (life % 2) await watch.stop()
    }
    await box.log.close()
  }
)

test('a log that is not the one that was counted is counted from its end on', async () => {
  const box = new Box()
  await box.openLog()
  const watch = await box.open()
  await box.send(...TRAFFIC)
  await box.detect(watch)
  await watch.stop()
  const state = readFileSync(path.join(box.directory, DEVICE_FILE), 'utf8')
  await box.log.close()
  const other = new Box()
  await other.openLog()
  await other.send(['telemetry/plant7/pump-1', '{"t":1}'])
  writeFileSync(path.join(other.directory, DEVICE_FILE), state)
  const next = await other.open()
  await next.catchUp()
  await other.detect(next)
  expect(messagesOf(next)).toEqual({ 'pump-1': 3, 'pump-2': 1, camera: 1 })
  await other.send(['telemetry/plant7/pump-1', '{"t":1}'])
  await other.detect(next)
  expect(messagesOf(next)).toEqual({ 'pump-1': 4, 'pump-2': 1, camera: 1 })
  await next.stop()
  await other.log.close()
})

test('what the log gave up meanwhile is not counted, what it still has is', async () => {
  const box = new Box()
  await box.openLog(1024)
  const watch = await box.open()
  const uplink = openClaimedReader(box.log.claim('uplink'), { onGap: () => {} })
  for (let n = 0; n < 50; n++) await box.send(['telemetry/plant7/pump-1', `{"t":${n}}`])
  const { epoch, end } = box.log.status
  uplink.commit({ epoch, offset: end })
  // Killed: its file is that of its first moment. Another's claim holds nothing back.
  const next = await box.open(nodeDisk, {}, 0)
  await box.log.checkpoint()
  const { firstKept } = box.log.status
  expect(firstKept).toBeGreaterThan(0)
  expect(firstKept).toBeLessThan(50)
  await next.catchUp()
  expect(messagesOf(next)).toEqual({ 'pump-1': 50 - firstKept })
  await watch.stop()
  await next.stop()
  await box.log.close()
})

test('a damaged file begins anew with one line, and does not keep anybody from starting', async () => {
  const box = new Box()
  await box.openLog()
  const file = path.join(box.directory, DEVICE_FILE)
  for (const text of ['', 'garbage', '00000000 {"version":1}\n', '{}']) {
    writeFileSync(file, text)
    box.told = []
    const watch = await box.open()
    expect(box.told).toEqual(['devices.damaged'])
    expect(watch.counts).toEqual({ known: 0, forgotten: 0 })
    await watch.stop()
  }
  await box.log.close()
})

test('a disk that takes no file is told once, and the watch goes on', async () => {
  const box = new Box()
  await box.openLog()
  const full: Disk = {
    ...nodeDisk,
    open: async (file, mode) => {
      if (mode === 'create') throw Object.assign(new Error('full'), { code: 'ENOSPC' })
      return nodeDisk.open(file, mode)
    }
  }
  const watch = await box.open(full, { saveIntervalMs: 5 })
  watch.follow()
  await box.send(...TRAFFIC)
  await expect.poll(() => watch.counts.known).toBe(3)
  await watch.stop()
  expect(box.told).toEqual(['devices.unsaved'])
  await box.log.close()
})

test('nothing is written while nothing is heard', async () => {
  const box = new Box()
  await box.openLog()
  let writes = 0
  const counting: Disk = {
    ...nodeDisk,
    open: (file, mode) => {
      if (mode === 'create') writes++
      return nodeDisk.open(file, mode)
    }
  }
  const watch = await box.open(counting, { saveIntervalMs: 2 })
  watch.follow()
  expect(writes).toBe(1)
  await box.send(['telemetry/plant7/pump-1', '{"t":1}'])
  await expect.poll(() => writes).toBe(2)
  for (let n = 0; n < 20; n++) await new Promise(resolve => setTimeout(resolve, 2))
  await watch.stop()
  expect(writes).toBe(2)
  const again = await box.open(counting)
  await again.stop()
  expect(writes).toBe(2)
  await box.log.close()
})

test('beside a detector its cursor moves now and then, not with each message: a checkpoint is two syncs', async () => {
  const box = new Box()
  await box.openLog()
  const watch = await box.open(nodeDisk, {}, 0)
  await watch.catchUp()
  await box.send(...TRAFFIC)
  await box.detect(watch)
  expect(box.log.backlog(DEVICE_READER)).toBe(TRAFFIC.length)
  await watch.stop()
  expect(box.log.backlog(DEVICE_READER)).toBe(2)
  await box.log.close()
})

test('its cursor goes along with a detector, and a kill still counts each message once', async () => {
  const box = new Box()
  await box.openLog()
  const watch = await box.open(nodeDisk, { commitIntervalMs: 5 }, 0)
  await watch.catchUp()
  await box.send(...TRAFFIC)
  expect(box.log.backlog(DEVICE_READER)).toBe(TRAFFIC.length)
  await box.detect(watch)
  // What belongs to no device and came after the last one's.
  await expect.poll(() => box.log.backlog(DEVICE_READER)).toBe(2)
  // The file is that of the start: what the cursor has passed is read again.
  const again = await box.open(nodeDisk, {}, 0)
  await again.catchUp()
  await box.detect(again)
  expect(messagesOf(again)).toEqual({ 'pump-1': 3, 'pump-2': 1, camera: 1 })
  await again.stop()
  await box.log.close()
})
