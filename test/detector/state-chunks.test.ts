import { expect, test } from 'vitest'
import { Prng } from '../../core/runtime/prng.ts'
import { StateChunks, type StateRecord } from '../../detector/state-chunks.ts'

const KEY = 'group/telemetry/#3'
const PLACE = { position: 7, watermark: 1_795_336_000_000 }

function bytesOf(prng: Prng, length: number): Buffer {
  const bytes = Buffer.alloc(length + 3)
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE(prng.uint32(), at)
  return bytes.subarray(0, length)
}

/** Compares bytes as such: by elements it takes seconds. */
function expectState(read: ReturnType<StateChunks['read']>, state: Buffer): void {
  expect(read).toMatchObject(PLACE)
  expect(typeof read === 'object' && read.state.equals(state)).toBe(true)
}

/** What a compacted topic holds in the end. */
function store(topic: Map<string, Buffer>, records: readonly StateRecord[]): number {
  let bytes = 0
  for (const { key, value } of records) {
    if (value) topic.set(key, value)
    else topic.delete(key)
    bytes += value?.length ?? 0
  }
  return bytes
}

test('a state is read as it was written, in pieces of bounded size', () => {
  const topic = new Map<string, Buffer>()
  for (const length of [0, 1, 8191, 200_000, 3_000_000]) {
    const state = bytesOf(new Prng(length), length)
    const records = new StateChunks(KEY).write(state, PLACE)
    expect(Math.max(...records.map(({ value }) => value?.length ?? 0))).toBeLessThanOrEqual(131_072)
    store(topic, records)
    expectState(new StateChunks(KEY).read(topic), state)
  }
})

test('what did not change is not written again, wherever in the state it stands now', () => {
  const prng = new Prng(1)
  const writer = new StateChunks(KEY)
  const topic = new Map<string, Buffer>()
  const series = Array.from({ length: 2000 }, () => bytesOf(prng, 600))
  const whole = store(topic, writer.write(Buffer.concat(series), PLACE))
  // One in twenty is heard, and stands last from now on.
  const heard = series.splice(0, 100).map(() => bytesOf(prng, 600))
  const state = Buffer.concat([...series, ...heard])
  const again = store(topic, writer.write(state, PLACE))
  expect(again).toBeLessThan(whole / 5)
  expectState(new StateChunks(KEY).read(topic), state)
})

test('a topic keeps no more pieces than the state needs, whoever goes on writing', () => {
  const prng = new Prng(2)
  const topic = new Map<string, Buffer>()
  let writer = new StateChunks(KEY)
  for (let length = 4_000_000; length > 1000; length = Math.floor(length / 3)) {
    const state = bytesOf(prng, length)
    store(topic, writer.write(state, PLACE))
    writer = new StateChunks(KEY)
    expectState(writer.read(topic), state)
  }
  expect(topic.size).toBe(2)
})

test('states of other partitions and groups in the same topic are not touched', () => {
  const topic = new Map<string, Buffer>()
  const others = ['group/telemetry/#31', 'group/telemetry/#', 'group2/telemetry/#3']
  for (const key of [KEY, ...others]) {
    store(topic, new StateChunks(key).write(Buffer.from(key), PLACE))
  }
  for (const key of [KEY, ...others]) {
    const chunks = new StateChunks(key)
    expect(chunks.read(topic)).toEqual({ ...PLACE, state: Buffer.from(key) })
    expect([...topic.keys()].filter(k => chunks.owns(k))).toEqual([`${key}/0`, key])
  }
})

test('a state with a piece missing or changed is damaged, and none is none', () => {
  const topic = new Map<string, Buffer>()
  store(topic, new StateChunks(KEY).write(bytesOf(new Prng(3), 100_000), PLACE))
  const read = (changes: [string, Buffer | undefined]) => {
    const changed = new Map(topic)
    const [key, value] = changes
    if (value) changed.set(key, value)
    else changed.delete(key)
    return new StateChunks(KEY).read(changed)
  }
  expect(read([`${KEY}/0`, undefined])).toBe('damaged')
  expect(read([`${KEY}/0`, Buffer.from('x')])).toBe('damaged')
  expect(read([KEY, Buffer.from('{}')])).toBe('damaged')
  expect(read([KEY, Buffer.from('nonsense')])).toBe('damaged')
  expect(read([KEY, undefined])).toBeUndefined()
  expect(new StateChunks(KEY).read(new Map())).toBeUndefined()
})
