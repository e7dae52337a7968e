import fs from 'node:fs'
import path from 'node:path'
import { crc32 } from 'node:zlib'
import { onTestFinished } from 'vitest'
import type { Disk, DiskFile } from '../../../core/log/disk.ts'
import { DurableLog, type LogOptions } from '../../../core/log/log.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import type { LogReader } from '../../../core/log/reader.ts'
import type { Logger } from '../../../core/runtime/log.ts'

export interface OpenedLog {
  log: DurableLog
  /** What it told the operator, in order. */
  events: { event: string; [field: string]: unknown }[]
}

/** A log with small segments and no timers, closed when the test ends. */
export async function openLog(
  directory: string,
  options: Partial<LogOptions> = {}
): Promise<OpenedLog> {
  const events: OpenedLog['events'] = []
  const note = (fields: OpenedLog['events'][0]) => events.push(fields)
  const log = await DurableLog.open({
    directory,
    logger: { error: note, warn: note, info: note, debug: note } as unknown as Logger,
    bytesMax: 4 << 20,
    segmentBytes: 8192,
    overflow: 'drop_oldest',
    sync: 'group',
    checkpointIntervalMs: 0,
    syncIntervalMs: 0,
    ...options
  })
  onTestFinished(() => log.close())
  return { log, events }
}

/** Everything up to the log's end, as text. */
export async function drain(log: DurableLog, reader: LogReader): Promise<string[]> {
  const texts: string[] = []
  const stop = new AbortController()
  for (;;) {
    const { end } = log.status
    if (reader.position.offset >= end) return texts
    const reading = reader.read({ bytesMax: 4096, signal: stop.signal })
    // A gap up to the end would leave it waiting.
    const timer = setInterval(() => reader.position.offset >= end && stop.abort(), 5)
    const batch = await reading
    clearInterval(timer)
    for (const { payload } of batch?.records ?? []) {
      const text = Buffer.from(payload).toString('latin1')
      texts.push(text.slice(0, text.indexOf('.')))
    }
  }
}

/** `r0.` to `r{count-1}.`, 300 B each, one group each. */
export async function fill(log: DurableLog, count: number, from = 0): Promise<string[]> {
  const texts: string[] = []
  for (let n = from; n < from + count; n++) {
    await log.append([Buffer.from(`r${n}.`.padEnd(300, 'x'))])
    texts.push(`r${n}`)
  }
  return texts
}

export function segmentFiles(directory: string): string[] {
  const names = fs.readdirSync(directory).filter(name => /^\d{20}\.seg$/.test(name))
  return names.sort().map(name => path.join(directory, name))
}

/** As a later Fieldline would have written it. */
export function makeNewer(file: string, version = 2): void {
  const bytes = fs.readFileSync(file)
  for (const at of [0, 4096]) {
    bytes.writeUInt16BE(version, at + 8)
    bytes.writeUInt32BE(crc32(bytes.subarray(at, at + 60)), at + 60)
  }
  fs.writeFileSync(file, bytes)
}

export type DiskCall = 'open' | 'write' | 'sync' | 'truncate' | 'rename' | 'syncDirectory'

/** The real disk, whose calls fail when told to. */
export class FailingDisk implements Disk {
  readonly #failures: { call: DiskCall; code: string; times: number; name: RegExp }[] = []
  readonly list = nodeDisk.list
  readonly stat = nodeDisk.stat
  readonly link = nodeDisk.link
  readonly unlink = nodeDisk.unlink
  readonly makeDirectory = nodeDisk.makeDirectory

  /** The next `times` calls on files whose name matches reject with `code`. */
  fail(call: DiskCall, code: string, times = 1, name = /\.seg$/): void {
    this.#failures.push({ call, code, times, name })
  }

  heal(): void {
    this.#failures.length = 0
  }

  async open(file: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    if (mode === 'create') this.#check('open', file)
    const opened = await nodeDisk.open(file, mode)
    return {
      read: (into, position) => opened.read(into, position),
      size: () => opened.size(),
      close: () => opened.close(),
      write: async (bytes, position) => {
        try {
          this.#check('write', file)
        } catch (error) {
          // A short write first, as a full disk does.
          await opened.write(bytes.subarray(0, bytes.length >> 1), position)
          throw error
        }
        await opened.write(bytes, position)
      },
      sync: async () => {
        this.#check('sync', file)
        await opened.sync()
      },
      truncate: async bytes => {
        this.#check('truncate', file)
        await opened.truncate(bytes)
      }
    }
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check('rename', from)
    await nodeDisk.rename(from, to)
  }

  async syncDirectory(directory: string): Promise<void> {
    this.#check('syncDirectory', directory)
    await nodeDisk.syncDirectory(directory)
  }

  #check(call: DiskCall, file: string): void {
    const failure = this.#failures.find(f => f.call === call && f.name.test(file) && f.times > 0)
    if (!failure) return
    failure.times--
    throw Object.assign(new Error(`${failure.code}: told to fail`), { code: failure.code })
  }
}
