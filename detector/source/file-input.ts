import { createReadStream } from 'node:fs'
import path from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import type { HistoryInput } from './history.ts'

const CHUNK_BYTES = 256 * 1024

/**
 * Files of history; `-` is standard input.
 *
 * A file without a column of devices is a device, named like the file: `plant7/pump-3.csv` is
 * `pump-3`; where two files would be one device, their directories tell them apart: `plant7-pump-3`.
 *
 * @param onBytes Told of each piece that is read.
 */
export function fileInputs(
  paths: readonly string[],
  onBytes: (bytes: number) => void = () => {}
): HistoryInput[] {
  const stems = paths.map(stemOf)
  return paths.map((file, i) => {
    const alone = stems.indexOf(stems[i]) === stems.lastIndexOf(stems[i])
    const device = alone ? stems[i] : distinctStemOf(file)
    return {
      name: file === '-' ? 'standard input' : file,
      device,
      chunks: () => chunksOf(file, onBytes)
    }
  })
}

/** @throws {OperationalError} INPUT_UNREADABLE, while it is read. */
async function* chunksOf(
  file: string,
  onBytes: (bytes: number) => void
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    const stream =
      file === '-' ? process.stdin : createReadStream(file, { highWaterMark: CHUNK_BYTES })
    for await (const chunk of stream) {
      onBytes(chunk.length)
      yield chunk
    }
  } catch (error) {
    const message = `Cannot read ${file}: ${messageOf(error)}. Give the path of a CSV or NDJSON file.`
    throw new OperationalError('INPUT_UNREADABLE', message, { cause: error })
  }
}

function stemOf(file: string): string {
  return file === '-' ? 'stdin' : path.basename(file).replace(/(?<=.)\.[^.]*$/, '')
}

function distinctStemOf(file: string): string {
  const directory = path.dirname(path.resolve(file)).split(path.sep).filter(Boolean)
  return [...directory.slice(-2), stemOf(file)].join('-')
}
