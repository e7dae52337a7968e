import { once } from 'node:events'
import fs from 'node:fs'
import type { Writable } from 'node:stream'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'

/** Where an export goes: never more in memory than the stream asks for. */
export interface Output {
  write(chunk: string | Uint8Array): Promise<void>
  /** Resolves when all of it is with the system. */
  end(): Promise<void>
}

export function standardOutput(signal?: AbortSignal): Output {
  return {
    write: chunk => written(process.stdout, chunk, signal),
    end: async () => {}
  }
}

/** @throws {OperationalError} DIRECTORY_UNUSABLE, from any call: the file cannot be written. */
export async function fileOutput(file: string): Promise<Output> {
  const stream = fs.createWriteStream(file)
  let fault: unknown
  stream.on('error', error => {
    fault = error
  })
  const checked = async (task: () => Promise<unknown>) => {
    try {
      await task()
      if (fault) throw fault
    } catch (error) {
      throw new OperationalError(
        'DIRECTORY_UNUSABLE',
        `Cannot write ${file}: ${messageOf(error)}. Give a path in a directory that exists and may be written.`,
        { cause: error }
      )
    }
  }
  await checked(() => once(stream, 'open'))
  return {
    write: chunk => checked(() => written(stream, chunk)),
    end: () =>
      checked(async () => {
        stream.end()
        await once(stream, 'close')
      })
  }
}

async function written(
  stream: Writable,
  chunk: string | Uint8Array,
  signal?: AbortSignal
): Promise<void> {
  if (stream.write(chunk) || signal?.aborted || stream.destroyed) return
  try {
    await once(stream, 'drain', signal ? { signal } : {})
  } catch (error) {
    if (!signal?.aborted) throw error
  }
}
