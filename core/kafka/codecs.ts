import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { compressLz4, decompressLz4 } from './codec-lz4.ts'
import { compressSnappy, decompressSnappy } from './codec-snappy.ts'

/** Kafka's number of each codec: bits 0 to 2 of a batch's attributes. */
export const COMPRESSION = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const

export type Compression = keyof typeof COMPRESSION
export const COMPRESSIONS = Object.keys(COMPRESSION) as [Compression, ...Compression[]]

/** What kafkajs wants of a codec. */
export interface Codec {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>
  decompress(bytes: Buffer): Promise<Buffer>
}

type Zip = (bytes: Buffer, callback: (error: Error | null, result: Buffer) => void) => void

/** Present in Node ≥ 22.15. */
const { zstdCompress, zstdDecompress } = zlib as { zstdCompress?: Zip; zstdDecompress?: Zip }

/** @returns Why this codec cannot be had here, and what to take; undefined when it can. */
export function codecMissing(compression: Compression): string | undefined {
  if (compression !== 'zstd' || zstdCompress) return undefined
  return `zstd needs Node.js 22.15 or newer, and this is ${process.versions.node}: choose lz4 or gzip`
}

/**
 * Codecs beside kafkajs' own gzip, by Kafka's number. LZ4 and Snappy are ours, of a few hundred lines
 * without a native part, so that they run on every ARM board; gzip and zstd are Node's.
 */
export const CODECS: Readonly<Record<number, () => Codec>> = {
  [COMPRESSION.snappy]: () => ({
    compress: async ({ buffer }) => compressSnappy(buffer),
    decompress: async bytes => decompressSnappy(bytes)
  }),
  [COMPRESSION.lz4]: () => ({
    compress: async ({ buffer }) => compressLz4(buffer),
    decompress: async bytes => decompressLz4(bytes)
  }),
  [COMPRESSION.zstd]: () => {
    if (!zstdCompress || !zstdDecompress) throw new Error(codecMissing('zstd'))
    const [zip, unzip] = [promisify(zstdCompress), promisify(zstdDecompress)]
    return { compress: ({ buffer }) => zip(buffer), decompress: bytes => unzip(bytes) }
  }
}
