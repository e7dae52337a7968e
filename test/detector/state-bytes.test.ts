import { expect, test } from 'vitest'
import { Prng } from '../../core/runtime/prng.ts'
import { StateReader, StateWriter } from '../../detector/state-bytes.ts'

type Field = number | string | Buffer | { count: number } | { words: Int32Array }

/** Of every length class: empty, unaligned, longer than a word; also half of a surrogate pair. */
const TEXTS = [
  '',
  'a',
  'ab',
  'abc',
  'abcd',
  'pump-3',
  'Öl',
  '温度',
  '🌡',
  '\ud800',
  'x\udc00y',
  'a\0b'
]

function randomField(prng: Prng): Field {
  switch (prng.int(5)) {
    case 0:
      return prng.normal() * 10 ** prng.int(60)
    case 1:
      return TEXTS[prng.int(TEXTS.length)]
    case 2:
      return Buffer.from(Array.from({ length: prng.int(9) }, () => prng.int(256)))
    case 3:
      return { count: prng.uint32() }
    default:
      return { words: Int32Array.from({ length: prng.int(5) }, () => prng.uint32() | 0) }
  }
}

function write(writer: StateWriter, field: Field): void {
  if (typeof field === 'number') writer.number(field)
  else if (typeof field === 'string') writer.text(field)
  else if (Buffer.isBuffer(field)) writer.bytes(field)
  else if ('count' in field) writer.count(field.count)
  else writer.words.set(field.words, writer.take(field.words.length))
}

function read(reader: StateReader, like: Field): Field {
  if (typeof like === 'number') return reader.number()
  if (typeof like === 'string') return reader.text()
  if (Buffer.isBuffer(like)) return Buffer.from(reader.bytes(like.length))
  if ('count' in like) return { count: reader.count() }
  const at = reader.take(like.words.length)
  return { words: reader.words.slice(at, at + like.words.length) }
}

function encoded(fields: readonly Field[]): Buffer {
  const writer = new StateWriter(64 * (fields.length + 1))
  for (const field of fields) write(writer, field)
  return writer.end()
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`fields are read as they were written, wherever the bytes lie (seed ${seed})`, () => {
    const prng = new Prng(seed)
    for (let round = 0; round < 200; round++) {
      const fields = Array.from({ length: prng.int(20) }, () => randomField(prng))
      const bytes = encoded(fields)
      const offset = prng.int(8)
      const moved = Buffer.concat([Buffer.alloc(offset), bytes]).subarray(offset)
      for (const input of [bytes, moved]) {
        const reader = new StateReader(input)
        expect(fields.map(field => read(reader, field))).toEqual(fields)
        expect(reader.left).toBe(0)
      }
    }
  })

  test(`bytes that end too soon are a RangeError, at every length (seed ${seed})`, () => {
    const prng = new Prng(seed)
    const fields = [...Array.from({ length: 10 }, () => randomField(prng)), 'the last']
    const bytes = encoded(fields)
    for (let length = 0; length < bytes.length; length++) {
      const reader = new StateReader(bytes.subarray(0, length))
      expect(() => fields.map(field => read(reader, field)), `${length}`).toThrow(RangeError)
    }
  })
}

test('equal fields are equal bytes, whatever was in that memory before', () => {
  const fields = ['abcde', 1.5, Buffer.from('xyz'), { count: 7 }, 'ö']
  const first = encoded(fields)
  for (let i = 0; i < 100; i++) {
    Buffer.allocUnsafeSlow(64 * (fields.length + 1)).fill(i)
    expect(encoded(fields).equals(first)).toBe(true)
  }
})

test('a count of more than there is makes room for nothing', () => {
  const writer = new StateWriter(16)
  writer.count(0xffff_ffff)
  writer.count(0)
  expect(() => new StateReader(writer.end()).count(4)).toThrow(RangeError)
  expect(new StateReader(writer.end()).count()).toBe(0xffff_ffff)
})

test('a number that is none is refused', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const writer = new StateWriter(8)
    writer.number(value)
    expect(() => new StateReader(writer.end()).number()).toThrow(RangeError)
  }
})
