import type { Readable } from 'node:stream'

/** Gives on what is to be read of the chunk: nothing, the chunk itself, or parts. May throw. */
export type ReadFilter = (chunk: Buffer, passOn: (part: Buffer) => void) => void

const NOTHING = Buffer.alloc(0)

/**
 * Lets what a stream receives pass through `filter` before the stream keeps it for its reader. Called
 * before the first byte is received. An error of the filter is the stream's end.
 *
 * The stream's own `push` is shadowed: whoever has the stream keeps it, a socket stays a socket, pauses
 * and ends are what they were, and nothing is held in between as by a stream of its own.
 */
export function readThrough(stream: Readable, filter: ReadFilter): void {
  const push = stream.push.bind(stream)
  let hasRoom = true
  let isPushed = false
  const passOn = (part: Buffer): void => {
    // The reader of the part before may have had enough of us.
    if (stream.destroyed) return
    isPushed = true
    hasRoom = push(part)
  }
  stream.push = (chunk, encoding) => {
    if (chunk === null) return push(null, encoding)
    isPushed = false
    try {
      filter(chunk, passOn)
    } catch (error) {
      stream.destroy(error as Error)
      return false
    }
    // A push of nothing tells the stream that the read it asked for is over.
    return isPushed ? hasRoom : push(NOTHING)
  }
}
