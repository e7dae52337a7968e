import path from 'node:path'
import { crc32 } from 'node:zlib'
import type { Disk } from './disk.ts'
import { unlinkIfPresent } from './disk-errors.ts'

/*
 * Small files that are rewritten whole: 8 hex digits of CRC-32, space, text without a final newline,
 * newline.
 */

/**
 * Written aside, synced, renamed, directory synced: a crash leaves the old one or the new one.
 *
 * @returns Bytes written.
 */
export async function replaceChecked(
  disk: Disk,
  directory: string,
  { name, asideName, text }: { name: string; asideName: string; text: string }
): Promise<number> {
  const bytes = Buffer.from(`${sumOf(text)} ${text}\n`)
  const aside = path.join(directory, asideName)
  await unlinkIfPresent(disk, aside)
  const file = await disk.open(aside, 'create')
  try {
    await file.write(bytes, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(aside, path.join(directory, name))
  await disk.syncDirectory(directory)
  return bytes.length
}

/**
 * @param bytesMax A larger file was not written by us.
 * @returns The text; undefined when it is damaged. Rejects with the disk's error, ENOENT among them.
 */
export async function readChecked(
  disk: Disk,
  name: string,
  bytesMax: number
): Promise<string | undefined> {
  const file = await disk.open(name, 'read')
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), bytesMax))
    const content = bytes.toString('utf8', 0, await file.read(bytes, 0))
    const text = content.slice(9).trimEnd()
    return sumOf(text) === content.slice(0, 8) ? text : undefined
  } finally {
    await file.close()
  }
}

function sumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}
