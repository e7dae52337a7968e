import { expect, test } from 'vitest'
import type { AlertFrame } from '../../core/contract/alert-event.ts'
import type { Cursor, LogBatch, LogReader, LogRecord, ReadOptions } from '../../core/log/reader.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { createLogger, silentLogger } from '../../core/runtime/log.ts'
import type { DetectorConfig } from '../../detector/config.ts'
import type { DetectorReading } from '../../detector/detector.ts'
import { EdgeDetector, type EdgeDetectorOptions } from '../../detector/edge-detector.ts'
import { detectorConfig, EPOCH, eventfulReadings } from './kit.ts'

const BATCH = 40

/** What outlives a crash: the telemetry log with its cursor, the alert log, the snapshot. */
class Box {
  readonly records: DetectorReading[][]
  readonly frames: AlertFrame[] = []
  committed = 0
  snapshot: Uint8Array | undefined
  /** Counts effects; the crash comes just before or just after one of them. */
  steps = 0
  crashAt: { step: number; when: 'before' | 'after' } | undefined
  crashed = false

  constructor(readings: DetectorReading[]) {
    this.records = readings.map((r, offset) => [{ ...r, offset }])
  }

  effect<T>(work: () => T): T {
    if (this.crashed) throw new Error('crashed')
    const now = ++this.steps === this.crashAt?.step ? this.crashAt.when : undefined
    if (now === 'before') this.#crash()
    const result = work()
    if (now === 'after') this.#crash()
    return result
  }

  #crash(): never {
    this.crashed = true
    throw new Error('crashed')
  }
}

class BoxReader implements LogReader {
  readonly name = 'detector'
  closed = false
  readonly #box: Box
  #next: number
  /** Resolves when everything was read and handled. */
  readonly drained: Promise<void>
  #onDrained!: () => void

  constructor(box: Box) {
    this.#box = box
    this.#next = box.committed
    this.drained = new Promise(resolve => {
      this.#onDrained = resolve
    })
  }

  get position(): Cursor {
    return { epoch: EPOCH, offset: this.#next }
  }

  async read({ signal }: ReadOptions): Promise<LogBatch | undefined> {
    const first = this.#next
    const records = this.#box.effect(() => this.#box.records.slice(first, first + BATCH))
    if (records.length === 0) {
      this.#onDrained()
      await new Promise<void>(resolve => {
        if (signal?.aborted) resolve()
        signal?.addEventListener('abort', () => resolve())
      })
      return undefined
    }
    this.#next = first + records.length
    return {
      records: records.map((_, i) => ({
        epoch: EPOCH,
        offset: first + i,
        payload: new Uint8Array()
      })),
      end: this.position
    }
  }

  commit(cursor: Cursor): void {
    this.#box.effect(() => {
      this.#box.committed = cursor.offset
    })
  }

  async seek(cursor: Cursor): Promise<boolean> {
    this.#next = cursor.offset
    return true
  }

  close(): void {
    this.closed = true
  }
}

function edgeOf(
  box: Box,
  changes: Partial<EdgeDetectorOptions> = {},
  config: Partial<DetectorConfig> = {}
) {
  const reader = new BoxReader(box)
  let nowMs = 0
  let onFailed = (_: unknown): void => {}
  const failed = new Promise<unknown>(resolve => {
    onFailed = resolve
  })
  const edge = new EdgeDetector({
    config: detectorConfig(config),
    source: '/fieldline/gateway-7',
    reader,
    decode: (record: LogRecord) => box.records[record.offset],
    appendAlerts: async frame => box.effect(() => void box.frames.push(structuredClone(frame))),
    lastAlertSource: box.frames.at(-1)?.source,
    snapshots: {
      load: async () => box.snapshot,
      save: async bytes =>
        box.effect(() => {
          box.snapshot = Buffer.from(bytes)
        })
    },
    logger: silentLogger,
    onFailed,
    // A second passes between two looks at the clock: a snapshot every few batches.
    clock: { now: () => 0, monotonic: () => (nowMs += 1000) },
    every: () => () => {},
    retryDelayMs: 1,
    ...changes
  })
  return { edge, reader, failed }
}

async function runToEnd(box: Box): Promise<void> {
  const { edge, reader } = edgeOf(box)
  await edge.start()
  await reader.drained
  await edge.stop()
}

test('alerts reach the alert log, one frame a record, and the cursor follows the snapshot', async () => {
  const box = new Box(eventfulReadings(21, 1500))
  await runToEnd(box)
  expect(box.frames.length).toBeGreaterThan(10)
  const positions = box.frames.map(f => f.source.offset)
  expect(new Set(positions).size).toBe(positions.length)
  expect(positions).toEqual([...positions].sort((a, b) => a - b))
  expect(box.committed).toBe(1500)
})

test('a crash before or after any step neither repeats nor skips an alert', async () => {
  const readings = eventfulReadings(22, 1000)
  const undisturbed = new Box(readings)
  await runToEnd(undisturbed)
  const expected = JSON.stringify(undisturbed.frames)
  expect(undisturbed.frames.length).toBeGreaterThan(5)
  for (let step = 1; step <= undisturbed.steps; step++) {
    for (const when of ['before', 'after'] as const) {
      const box = new Box(readings)
      box.crashAt = { step, when }
      const { edge, failed, reader } = edgeOf(box)
      await edge.start().catch(() => {})
      await Promise.race([failed, reader.drained])
      await edge.stop()
      expect(box.crashed, `${when} step ${step}`).toBe(true)
      box.crashed = false
      box.crashAt = undefined
      await runToEnd(box)
      expect(JSON.stringify(box.frames), `${when} step ${step}`).toBe(expected)
    }
  }
})

test('several crashes in a row change nothing either', async () => {
  const readings = eventfulReadings(23, 1000)
  const undisturbed = new Box(readings)
  await runToEnd(undisturbed)
  const box = new Box(readings)
  for (let crash = 0; crash < 12; crash++) {
    box.steps = 0
    box.crashAt = { step: 4 + 3 * crash, when: crash % 2 ? 'before' : 'after' }
    const { edge, failed, reader } = edgeOf(box)
    await edge.start().catch(() => {})
    await Promise.race([failed, reader.drained])
    await edge.stop()
    box.crashed = false
  }
  box.crashAt = undefined
  await runToEnd(box)
  expect(JSON.stringify(box.frames)).toBe(JSON.stringify(undisturbed.frames))
})

test('open alerts survive a restart and are not raised again', async () => {
  const readings = eventfulReadings(24, 2000)
  const box = new Box(readings.slice(0, 900))
  const first = edgeOf(box)
  await first.edge.start()
  await first.reader.drained
  await first.edge.stop()
  const open = first.edge.openAlerts()
  expect(open.length).toBeGreaterThan(0)
  const second = edgeOf(box)
  await second.edge.start()
  expect(second.edge.openAlerts()).toEqual(open)
  await second.edge.stop()
  expect(second.reader.closed).toBe(true)
})

test('alerts of a kind that was switched off are cleared once, whatever crashes meanwhile', async () => {
  const readings = eventfulReadings(24, 2000)
  const off = { silent: { enabled: false, factor: 5, minMs: 10_000 } }
  const boxWith = async (): Promise<{ box: Box; silent: string[] }> => {
    const box = new Box(readings.slice(0, 800))
    const { edge, reader } = edgeOf(box)
    await edge.start()
    await reader.drained
    await edge.stop()
    const silent = edge.openAlerts().filter(e => e.data.kind === 'silent')
    box.records.push(...readings.slice(800).map((r, i) => [{ ...r, offset: 800 + i }]))
    return { box, silent: silent.map(e => e.data.alertId) }
  }
  const clearsOf = (box: Box) =>
    box.frames
      .flatMap(f => f.events)
      .filter(e => e.data.reason.includes('no longer configured'))
      .map(e => e.data.alertId)
  const undisturbed = await boxWith()
  expect(undisturbed.silent.length).toBeGreaterThan(0)
  const { box } = undisturbed
  const steps = box.steps
  const run = edgeOf(box, {}, off)
  await run.edge.start()
  await run.reader.drained
  await run.edge.stop()
  expect(clearsOf(box)).toEqual(undisturbed.silent)
  for (let step = 1; step <= 12; step++) {
    const { box: crashing } = await boxWith()
    crashing.crashAt = { step: steps + step, when: step % 2 ? 'after' : 'before' }
    const first = edgeOf(crashing, {}, off)
    const started = await first.edge.start().then(
      () => true,
      () => false
    )
    if (started) await Promise.race([first.failed, first.reader.drained])
    await first.edge.stop()
    crashing.crashed = false
    crashing.crashAt = undefined
    const second = edgeOf(crashing, {}, off)
    await second.edge.start()
    await second.reader.drained
    await second.edge.stop()
    expect(clearsOf(crashing), `crash at step ${step}`).toEqual(undisturbed.silent)
  }
})

test('once caught up, open alerts are those of the alert log, though the snapshot is older', async () => {
  const box = new Box(eventfulReadings(22, 1000))
  const first = edgeOf(box)
  await first.edge.start()
  await first.reader.drained
  await first.edge.stop()
  // The snapshot of a moment long before, with its cursor; the frames since are stored.
  const early = new Box(eventfulReadings(22, 1000).slice(0, 480))
  await runToEnd(early)
  box.snapshot = early.snapshot
  box.committed = early.committed
  const told = new Map<string, string>()
  for (const event of box.frames.flatMap(f => f.events)) {
    if (event.data.state === 'cleared') told.delete(event.data.alertId)
    else told.set(event.data.alertId, event.id)
  }
  const second = edgeOf(box)
  await second.edge.start()
  await second.edge.caughtUp()
  expect(
    second.edge
      .openAlerts()
      .map(e => e.id)
      .sort()
  ).toEqual([...told.values()].sort())
  await second.edge.stop()
})

test('a full alert log makes detection wait, and loses nothing', async () => {
  const readings = eventfulReadings(25, 1000)
  const undisturbed = new Box(readings)
  await runToEnd(undisturbed)
  const box = new Box(readings)
  let refusals = 0
  const { edge, reader } = edgeOf(box, {
    appendAlerts: async frame => {
      if (refusals++ % 3 !== 2) throw new OperationalError('LOG_FULL', 'the alert log is full')
      box.frames.push(structuredClone(frame))
    }
  })
  await edge.start()
  await reader.drained
  await edge.stop()
  expect(refusals).toBeGreaterThan(box.frames.length)
  expect(JSON.stringify(box.frames)).toBe(JSON.stringify(undisturbed.frames))
})

test('stopping while an alert waits keeps the snapshot behind it, so that it comes at the next start', async () => {
  const readings = eventfulReadings(26, 1000)
  const undisturbed = new Box(readings)
  await runToEnd(undisturbed)
  const box = new Box(readings)
  let waiting = (): void => {}
  const waits = new Promise<void>(resolve => {
    waiting = resolve
  })
  let tick = (): void => {}
  const { edge } = edgeOf(box, {
    appendAlerts: async () => {
      waiting()
      throw new OperationalError('LOG_FULL', 'the alert log is full')
    },
    every: (_, callback) => {
      tick = callback
      return () => {}
    }
  })
  await edge.start()
  await waits
  // A snapshot that falls due now has to wait for the batch, and must not be of half of it.
  tick()
  await edge.stop()
  expect(box.frames).toEqual([])
  await runToEnd(box)
  expect(JSON.stringify(box.frames)).toBe(JSON.stringify(undisturbed.frames))
})

test('a snapshot that cannot be written holds the cursor back, with one warning', async () => {
  const box = new Box(eventfulReadings(27, 800))
  const lines: { level: string; event: string }[] = []
  const { edge, reader } = edgeOf(box, {
    snapshots: { load: async () => undefined, save: () => Promise.reject(new Error('ENOSPC')) },
    logger: createLogger('warn', line => lines.push(JSON.parse(line)))
  })
  await edge.start()
  await reader.drained
  await edge.stop()
  expect(box.committed).toBe(0)
  expect(lines.map(l => l.event)).toEqual(['detector.snapshot_failed'])
})

test('a damaged snapshot does not keep it from starting: it learns anew and says so', async () => {
  const box = new Box(eventfulReadings(28, 800))
  await runToEnd(box)
  const bytes = Buffer.from(box.snapshot as Uint8Array)
  bytes[bytes.length >> 1] ^= 4
  box.snapshot = bytes
  const lines: { level: string; event: string }[] = []
  const { edge } = edgeOf(box, {
    logger: createLogger('warn', line => lines.push(JSON.parse(line)))
  })
  await edge.start()
  expect(edge.counters().series).toBe(0)
  await edge.stop()
  expect(lines.map(l => [l.level, l.event])).toEqual([['error', 'detector.snapshot_unusable']])
})

test('several elements of one record are one frame', async () => {
  const readings = eventfulReadings(29, 900)
  const box = new Box(readings)
  const last = readings[readings.length - 1]
  const spike = { ...last, offset: 900, values: [{ metric: 'temperature', value: 900 }] }
  const other = readings[readings.length - 2]
  box.records.push([
    spike,
    { ...other, offset: 900, values: [{ metric: 'temperature', value: 900 }] }
  ])
  await runToEnd(box)
  const frame = box.frames.at(-1) as AlertFrame
  expect(frame.source).toEqual({ epoch: EPOCH, offset: 900 })
  expect(frame.events.filter(e => e.data.value === 900).length).toBe(2)
})

test('too far behind, it is moved on and the gap counted; a decoder that throws stops nothing', async () => {
  const box = new Box(eventfulReadings(30, 1000))
  const { edge, reader } = edgeOf(
    box,
    {
      durableEnd: () => ({ epoch: EPOCH, offset: 1000 }),
      decode: record => {
        if (record.offset === 999) throw new Error('a defect')
        return box.records[record.offset]
      }
    },
    { lagRecordsMax: 200 }
  )
  await edge.start()
  await reader.drained
  await edge.stop()
  expect(edge.counters()).toMatchObject({ skipped: 900, records: 100, undecodable: 1 })
  expect(box.committed).toBe(1000)
})
