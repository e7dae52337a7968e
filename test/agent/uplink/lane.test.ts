import { expect, test } from 'vitest'
import type { Delivery } from '../../../agent/uplink/delivery.ts'
import type { DrainLimit } from '../../../agent/uplink/drain-limit.ts'
import { Lane } from '../../../agent/uplink/lane.ts'
import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'
import type { Cursor, LogBatch, LogReader, ReadOptions } from '../../../core/log/reader.ts'
import { createLogger, silentLogger } from '../../../core/runtime/log.ts'

const EPOCH = '1-0000000000000001'
const at = (offset: number): Cursor => ({ epoch: EPOCH, offset })

/** A log of `end` records, two a batch; an empty one waits. */
class FakeReader implements LogReader {
  readonly name = 'uplink'
  position = at(0)
  end: number
  closed = false
  readonly commits: number[] = []
  readonly seeks: Cursor[] = []
  reads = 0
  #wake: () => void = () => {}

  constructor(end: number) {
    this.end = end
  }

  async read({ recordsMax = 2, signal }: ReadOptions): Promise<LogBatch | undefined> {
    while (this.position.offset >= this.end) {
      if (signal?.aborted || this.closed) return undefined
      await new Promise<void>(resolve => {
        this.#wake = resolve
        signal?.addEventListener('abort', () => resolve())
      })
    }
    this.reads++
    const first = this.position.offset
    this.position = at(Math.min(this.end, first + recordsMax))
    const records = Array.from({ length: this.position.offset - first }, (_, n) => ({
      ...at(first + n),
      payload: Buffer.from(String(first + n))
    }))
    return { records, end: this.position }
  }

  commit(cursor: Cursor): void {
    this.commits.push(cursor.offset)
  }

  async seek(cursor: Cursor): Promise<boolean> {
    this.seeks.push(cursor)
    const believed = cursor.epoch === EPOCH && cursor.offset <= this.end
    this.position = believed ? cursor : at(0)
    return believed
  }

  append(count: number): void {
    this.end += count
    this.#wake()
  }

  close(): void {
    this.closed = true
    this.#wake()
  }
}

/** Kafka answers when it is told to. */
class FakeDelivery implements Delivery {
  room = { bytes: 1 << 20, records: 2 }
  /** Records. */
  ahead = 0
  thought = 0
  readonly batches: { values: string[]; upTo: Cursor }[] = []
  committed: Cursor | undefined
  held = false
  closed = 0
  /** Until it resolves Kafka is not found. */
  connecting: Promise<void> = Promise.resolve()
  #waiting: ((done: boolean) => void)[] = []

  get roomAhead() {
    return { ...this.room, records: Math.max(this.ahead, this.room.records) }
  }

  async start(signal: AbortSignal): Promise<Cursor | undefined> {
    const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
    await Promise.race([this.connecting, aborted])
    return this.committed
  }

  deliver(records: OutgoingRecord[], upTo: Cursor): Promise<boolean> {
    this.batches.push({ values: records.map(({ value }) => value.toString()), upTo })
    if (!this.held) return Promise.resolve(true)
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  expectedMs(): number {
    return this.thought
  }

  answer(): void {
    this.#waiting.shift()?.(true)
  }

  async close(): Promise<void> {
    this.closed++
  }
}

function laneOf(
  end: number,
  setUp: (reader: FakeReader, delivery: FakeDelivery) => void = () => {},
  options: Partial<ConstructorParameters<typeof Lane>[0]> = {}
) {
  const reader = new FakeReader(end)
  const delivery = new FakeDelivery()
  setUp(reader, delivery)
  const lines: Record<string, unknown>[] = []
  const beyond: Cursor[] = []
  const lane = new Lane({
    name: 'telemetry',
    reader,
    delivery,
    onBeyondEnd: cursor => beyond.push(cursor),
    render: ({ payload, offset }) => {
      if (offset === 99) throw new TypeError('a fault of ours')
      const value = Buffer.from(payload)
      return [
        {
          topic: 't',
          key: 'k',
          value,
          timestampMs: offset,
          headers: { 'fl-received': `${offset}` }
        }
      ]
    },
    lingerMs: 0,
    clock: { now: () => 1000, monotonic: () => performance.now() },
    ...options,
    logger: end > 99 ? createLogger('error', line => lines.push(JSON.parse(line))) : silentLogger
  })
  lane.start()
  const settle = () => new Promise(resolve => setTimeout(resolve, 5))
  return { lane, reader, delivery, settle, lines, beyond }
}

test('batches are delivered in order, and the cursor follows each', async () => {
  const { lane, reader, delivery } = laneOf(5)
  await expect.poll(() => reader.commits).toEqual([2, 4, 5])
  expect(delivery.batches.map(({ values }) => values.join())).toEqual(['0,1', '2,3', '4'])
  expect(delivery.batches.map(({ upTo }) => upTo.offset)).toEqual([2, 4, 5])
  expect(lane.counters).toMatchObject({ delivered: 5, produced: 5, producedBytes: 5, batches: 3 })
  await lane.stop(1000)
})

test('the cursor does not move before Kafka answers, one batch is in flight, and the next is read meanwhile', async () => {
  const { lane, reader, delivery, settle } = laneOf(6, (_, kafka) => {
    kafka.held = true
  })
  await expect.poll(() => reader.reads).toBe(2)
  await settle()
  expect([delivery.batches.length, reader.reads, reader.commits]).toEqual([1, 2, []])
  expect(lane.oldestAt).toBe(0)
  delivery.answer()
  await expect.poll(() => delivery.batches.length).toBe(2)
  expect(reader.commits).toEqual([2])
  expect(lane.oldestAt).toBe(2)
  await lane.stop(0)
})

test('at a graceful stop what is in the log is delivered, then all is closed', async () => {
  const { lane, reader, delivery, settle } = laneOf(7, (_, kafka) => {
    kafka.held = true
  })
  await expect.poll(() => delivery.batches.length).toBe(1)
  delivery.held = false
  const stopping = lane.stop(10_000)
  await settle()
  delivery.answer()
  await stopping
  expect(reader.commits).toEqual([2, 4, 6, 7])
  expect([reader.closed, delivery.closed > 0]).toEqual([true, true])
})

test('a hard stop does not wait for Kafka, and commits nothing that was not answered', async () => {
  const { lane, reader, delivery } = laneOf(7, (_, kafka) => {
    kafka.held = true
  })
  await expect.poll(() => delivery.batches.length).toBe(1)
  const startedAt = performance.now()
  await lane.stop(20)
  expect(performance.now() - startedAt).toBeLessThan(1000)
  expect([reader.commits, reader.closed, delivery.closed > 0]).toEqual([[], true, true])
})

test('a lane that is to stop while it connects does not wait for a Kafka that is away', async () => {
  const { lane, delivery, settle } = laneOf(7, (_, kafka) => {
    kafka.connecting = new Promise(() => {})
  })
  const stopping = lane.stop(60_000)
  await settle()
  expect(delivery.closed).toBe(0)
  lane.state = { kind: 'waiting', code: 'X', message: 'refused', sinceAt: 0 }
  await stopping
  expect(delivery.closed).toBeGreaterThan(0)
})

test('an idle lane stops at once', async () => {
  const { lane, settle } = laneOf(0)
  await settle()
  const startedAt = performance.now()
  await lane.stop(10_000)
  expect(performance.now() - startedAt).toBeLessThan(1000)
})

test('a lane wakes for what comes later', async () => {
  const { lane, reader } = laneOf(0)
  reader.append(1)
  await expect.poll(() => reader.commits).toEqual([1])
  await lane.stop(1000)
})

test('Kafka’s cursor counts where it is ahead of the local one', async () => {
  const { lane, reader, delivery } = laneOf(6, (_, kafka) => {
    kafka.committed = at(3)
  })
  await expect.poll(() => reader.commits).toEqual([3, 5, 6])
  expect(delivery.batches[0].values).toEqual(['3', '4'])
  await lane.stop(1000)
})

test('Kafka’s cursor does not count where it is behind the local one', async () => {
  const { lane, reader } = laneOf(6, (log, kafka) => {
    log.position = at(4)
    kafka.committed = at(2)
  })
  await expect.poll(() => reader.commits).toEqual([6])
  expect(reader.seeks).toEqual([])
  await lane.stop(1000)
})

test('a cursor of Kafka’s that the log does not believe leaves the local one', async () => {
  const { lane, reader } = laneOf(2, (_log, kafka) => {
    kafka.committed = { epoch: '9-ffffffffffffffff', offset: 1000 }
  })
  await expect.poll(() => reader.commits).toEqual([0, 2])
  await lane.stop(1000)
})

test('a fault of ours stops the lane with one line, is no mode that looks well, keeps the records, and lets the agent stop', async () => {
  const { lane, reader, lines } = laneOf(101)
  await expect.poll(() => lines).toMatchObject([{ event: 'uplink.failed', lane: 'telemetry' }])
  expect(reader.commits.at(-1)).toBe(98)
  expect(lane.state).toMatchObject({ kind: 'parked', code: 'LANE_FAILED' })
  await lane.stop(1000)
})

test('a cursor of this epoch beyond the log’s end is told: the log is an older copy', async () => {
  const { lane, reader, delivery, beyond } = laneOf(2, (_log, kafka) => {
    kafka.committed = at(1000)
  })
  await expect.poll(() => reader.commits).toEqual([0, 2])
  expect(beyond).toEqual([at(1000)])
  expect(delivery.batches.map(batch => batch.values)).toEqual([['0', '1']])
  await lane.stop(1000)
})

test('a lane that is to stop does not wait for a Kafka that has been silent for long', async () => {
  const clock = { at: 0, now: () => 1000, monotonic: () => clock.at }
  const { lane, delivery, reader } = laneOf(
    7,
    (_, kafka) => {
      kafka.held = true
    },
    { clock }
  )
  await expect.poll(() => delivery.batches.length).toBe(1)
  clock.at = 2_001
  const startedAt = performance.now()
  await lane.stop(60_000)
  expect(performance.now() - startedAt).toBeLessThan(1_000)
  expect([reader.commits, delivery.closed > 0]).toEqual([[], true])
})

test('a lane that is to stop gives up as soon as Kafka has been silent for too long, on a slow link later', async () => {
  const clock = { at: 0, now: () => 1000, monotonic: () => clock.at }
  const { lane, delivery, settle } = laneOf(
    7,
    (_, kafka) => {
      kafka.held = true
      kafka.thought = 1_000
    },
    { clock }
  )
  await expect.poll(() => delivery.batches.length).toBe(1)
  clock.at = 3_999
  const stopping = lane.stop(60_000)
  await settle()
  expect(delivery.closed).toBe(0)
  clock.at = 4_001
  await stopping
  expect(delivery.closed).toBeGreaterThan(0)
})

test('a lane that is to stop while a silent Kafka is connected to gives up as well', async () => {
  const clock = { at: 0, now: () => 1000, monotonic: () => clock.at }
  const { lane, delivery } = laneOf(
    7,
    (_, kafka) => {
      kafka.connecting = new Promise(() => {})
    },
    { clock }
  )
  clock.at = 2_001
  await lane.stop(60_000)
  expect(delivery.closed).toBeGreaterThan(0)
})

test('a batch is as large as there is room for when it is sent, and the cursor stands behind it', async () => {
  const { lane, reader, delivery } = laneOf(6, (_, kafka) => {
    kafka.held = true
  })
  await expect.poll(() => delivery.batches.length).toBe(1)
  await expect.poll(() => reader.reads).toBe(2)
  delivery.room = { bytes: 1 << 20, records: 1 }
  delivery.answer()
  await expect.poll(() => delivery.batches.length).toBe(2)
  expect(delivery.batches[1]).toEqual({ values: ['2'], upTo: at(3) })
  await lane.stop(0)
})

test('a link found to be fast gets a batch as large as it is good for at once', async () => {
  const { lane, delivery } = laneOf(12, (_, kafka) => {
    kafka.held = true
    kafka.room = { bytes: 1 << 20, records: 1 }
    kafka.ahead = 4
  })
  await expect.poll(() => delivery.batches.length).toBe(1)
  for (const records of [4, 8]) {
    Object.assign(delivery, { room: { bytes: 1 << 20, records }, ahead: 4 * records })
    await new Promise(resolve => setImmediate(resolve))
    delivery.answer()
    await expect.poll(() => delivery.batches.length).toBe(records / 4 + 1)
  }
  expect(delivery.batches.map(({ values }) => values.length)).toEqual([1, 4, 7])
  await lane.stop(0)
})

test.each([
  [
    'what has waited leaves at the limit',
    1_000,
    [
      [0, 1],
      [2, 3],
      [4, 5]
    ],
    true
  ],
  [
    'what comes just now leaves at once',
    1_000_000,
    [
      [0, 1],
      [2, 3],
      [4, 5]
    ],
    false
  ]
] as const)('drain: %s', async (_, olderThanMs, batches, limited) => {
  const waits: number[] = []
  const limit = {
    isUnlimited: false,
    slice: { records: 2, bytes: 1e6 },
    get waitMs() {
      waits.push(1)
      return 1
    },
    spend: () => {}
  } as unknown as DrainLimit
  const { lane, delivery, reader } = laneOf(6, undefined, {
    clock: { now: () => 900_000, monotonic: () => performance.now() },
    drain: { limit, olderThanMs }
  })
  await expect.poll(() => reader.commits.at(-1)).toBe(6)
  expect(delivery.batches.map(({ values }) => values.map(Number))).toEqual(batches)
  expect(waits.length).toBe(limited ? 3 : 0)
  await lane.stop(1000)
})

test('a cursor beyond where the log ended at the start is an older copy’s, though the log has reached that offset anew', async () => {
  const setUp = (_log: FakeReader, kafka: FakeDelivery) => {
    kafka.committed = at(4)
  }
  const { lane, reader, delivery, beyond } = laneOf(6, setUp, { logEnd: 2 })
  await expect.poll(() => reader.commits.at(-1)).toBe(6)
  expect(beyond).toEqual([at(4)])
  expect(delivery.batches.flatMap(({ values }) => values)).toEqual(['0', '1', '2', '3', '4', '5'])
  await lane.stop(1000)
})
