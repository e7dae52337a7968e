import type { Disk, DiskFile } from './disk.ts'

const PAGE_BYTES = 4096

/** Counts what is handed to the disk, whoever of the log's parts does it. */
export class MeteredDisk implements Disk {
  writtenBytes = 0
  /** The same in whole pages, as a flash disk wears; without the file system's own journal. */
  pageBytes = 0
  /** Of files and of directories. */
  syncs = 0
  readonly #disk: Disk

  constructor(disk: Disk) {
    this.#disk = disk
  }

  async open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    const file = await this.#disk.open(path, mode)
    return mode === 'read' ? file : new MeteredFile(file, this)
  }

  syncDirectory(path: string): Promise<void> {
    this.syncs++
    return this.#disk.syncDirectory(path)
  }

  list = (directory: string) => this.#disk.list(directory)
  makeDirectory = (path: string) => this.#disk.makeDirectory(path)
  rename = (from: string, to: string) => this.#disk.rename(from, to)
  link = (from: string, to: string) => this.#disk.link(from, to)
  unlink = (path: string) => this.#disk.unlink(path)
  stat = (path: string) => this.#disk.stat(path)
}

class MeteredFile implements DiskFile {
  readonly #file: DiskFile
  readonly #meter: MeteredDisk

  constructor(file: DiskFile, meter: MeteredDisk) {
    this.#file = file
    this.#meter = meter
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    this.#meter.writtenBytes += bytes.length
    const firstPage = Math.floor(position / PAGE_BYTES)
    const endPage = Math.ceil((position + bytes.length) / PAGE_BYTES)
    this.#meter.pageBytes += (endPage - firstPage) * PAGE_BYTES
    return this.#file.write(bytes, position)
  }

  sync(): Promise<void> {
    this.#meter.syncs++
    return this.#file.sync()
  }

  read = (into: Uint8Array, position: number) => this.#file.read(into, position)
  truncate = (bytes: number) => this.#file.truncate(bytes)
  size = () => this.#file.size()
  close = () => this.#file.close()
}
