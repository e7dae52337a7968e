import fs from 'node:fs'
import fsp from 'node:fs/promises'
import { promisify } from 'node:util'
import { makeDirectory } from '../runtime/make-directory.ts'
import type { Disk, DiskFile } from './disk.ts'

// The callback API on bare descriptors: FileHandle costs twice as much a call.
const openFd = promisify(fs.open)
const closeFd = promisify(fs.close)
const fdatasync = promisify(fs.fdatasync)
const fsync = promisify(fs.fsync)
const ftruncate = promisify(fs.ftruncate)
const fstat = promisify(fs.fstat)

const FLAGS = { read: 'r', write: 'r+', create: 'wx+' } as const

/** The real file system. */
export const nodeDisk: Disk = {
  async open(file, mode) {
    return new NodeFile(await openFd(file, FLAGS[mode], 0o640))
  },

  list: directory => fsp.readdir(directory),

  async makeDirectory(directory) {
    makeDirectory(directory)
  },

  syncDirectory,
  rename: (from, to) => fsp.rename(from, to),
  link: (from, to) => fsp.link(from, to),
  unlink: file => fsp.unlink(file),

  // Here and now: a start asks for the size of every segment, and each way through the thread pool
  // takes ten times as long as the call.
  async stat(file) {
    const { size, mtimeMs } = fs.statSync(file)
    return { bytes: size, changedAt: mtimeMs }
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const fd = await openFd(directory, 'r')
  try {
    await fsync(fd)
  } finally {
    await closeFd(fd)
  }
}

class NodeFile implements DiskFile {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < into.length) {
      const got = await this.#readOnce(into, done, position + done)
      if (got === 0) break
      done += got
    }
    return done
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    let done = 0
    while (done < bytes.length) done += await this.#writeOnce(bytes, done, position + done)
  }

  sync = () => fdatasync(this.#fd)
  truncate = (bytes: number) => ftruncate(this.#fd, bytes)
  size = async () => (await fstat(this.#fd)).size
  close = () => closeFd(this.#fd)

  #readOnce(into: Uint8Array, from: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.read(this.#fd, into, from, into.length - from, position, (error, got) =>
        error ? reject(error) : resolve(got)
      )
    })
  }

  #writeOnce(bytes: Uint8Array, from: number, position: number): Promise<number> {
    return new Promise((resolve, reject) => {
      fs.write(this.#fd, bytes, from, bytes.length - from, position, (error, put) =>
        error ? reject(error) : resolve(put)
      )
    })
  }
}
