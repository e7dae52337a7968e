import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { Progress, readingOf, whileWaiting } from '../../cli/progress.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/** A terminal of one line, as a person sees it. */
class Line {
  readonly isTTY: boolean = true
  readonly columns = 80
  written = ''
  #cells: string[] = []
  #at = 0

  write(text: string): boolean {
    this.written += text
    for (const character of text) {
      if (character === '\r') this.#at = 0
      else this.#cells[this.#at++] = character
    }
    return true
  }

  get seen(): string {
    return this.#cells.join('').trimEnd()
  }
}

function progressOn(stream: Line, options: { unit?: string; env?: Record<string, string> } = {}) {
  let at = 0
  const progress = new Progress('verify', {
    stream: stream as never,
    env: {},
    ...options,
    now: () => at
  })
  return {
    progress,
    later: (ms: number) => {
      at += ms
    }
  }
}

test('a bar says how far it is, how fast, and how long it will take', () => {
  const line = new Line()
  const { progress, later } = progressOn(line)
  later(10_000)
  progress.update(1 << 20, 4 << 20)
  expect(line.seen).toBe(
    'verify  ██████░░░░░░░░░░░░░░░░░░  25 %  1.0 MiB of 4.0 MiB, 102 KiB/s, about 3…'
  )
  later(30_000)
  progress.show({ bytes: 4 << 20, bytesTotal: 4 << 20 })
  expect(line.seen).toBe(`verify  ${'█'.repeat(24)} 100 %  4.0 MiB of 4.0 MiB, 102 KiB/s`)
  progress.end()
  expect(line.seen).toBe('')
  expect(line.written).not.toContain('\x1b')
})

test('what has no known end is counted, and what cannot be measured shows its time', () => {
  const line = new Line()
  const { progress, later } = progressOn(line, { unit: 'record' })
  later(2_000)
  progress.update(3000)
  expect(line.seen).toBe('verify  3,000 records, 1,500/s')
  later(1_000)
  progress.wait()
  expect(line.seen).toBe('verify  3 s')
})

test('short work shows nothing, and long work not more often than can be read', () => {
  const line = new Line()
  const { progress, later } = progressOn(line)
  progress.update(1, 2)
  later(400)
  progress.update(1, 2)
  expect(line.written).toBe('')
  later(200)
  progress.update(1, 2)
  const once = line.written
  later(50)
  progress.update(2, 2)
  expect(line.written).toBe(once)
})

test('without a terminal nothing is written', () => {
  for (const [stream, env] of [
    [Object.assign(new Line(), { isTTY: false }), {}],
    [new Line(), { TERM: 'dumb' }]
  ] as const) {
    const { progress, later } = progressOn(stream, { env })
    later(10_000)
    progress.update(1, 2)
    progress.wait()
    progress.end()
    expect(stream.written).toBe('')
  }
})

test('a result told on the way takes the line away first', async () => {
  const line = new Line()
  const { progress, later } = progressOn(line)
  const told: string[] = []
  const output = progress.beside({
    write: async chunk => {
      told.push(`${line.seen}|${chunk}`)
    },
    end: async () => {}
  })
  later(1_000)
  progress.update(1, 2)
  expect(line.seen).not.toBe('')
  await output.write('an alert')
  expect(told).toEqual(['|an alert'])
})

test('files that are read side by side make one bar; with standard input there is no end', () => {
  const directory = temporaryDirectory()
  const files = ['a', 'b'].map(name => path.join(directory, name))
  for (const file of files) fs.writeFileSync(file, 'x'.repeat(50))
  const line = new Line()
  const { progress, later } = progressOn(line)
  const read = readingOf(progress, files)
  later(1_000)
  read(25)
  expect(line.seen).toContain(' 25 %  25 B of 100 B')
  later(1_000)
  readingOf(progress, [...files, '-'])(30)
  expect(line.seen).toBe('verify  30 B, 15 B/s')
})

test('the line is taken away when the work fails', async () => {
  const line = new Line()
  const { progress, later } = progressOn(line)
  const failing = whileWaiting(progress, async () => {
    later(1_000)
    progress.wait()
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect([line.seen, line.written.length > 0]).toEqual(['', true])
})
