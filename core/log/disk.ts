/**
 * The storage port: everything the log asks of a file system. Production gives it `node:fs`
 * (node-disk.ts); tests give it a disk that tears, forgets and fails.
 *
 * All operations reject with the system's error (`code` is ENOSPC, EIO, …). Nothing is durable
 * before the file's `sync`, and a new name not before `syncDirectory` of its directory.
 */
export interface Disk {
  /**
   * `create` makes a new file for reading and writing and rejects with EEXIST; `write` opens an
   * existing one for both; `read` for reading.
   */
  open(path: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile>
  /** Names in the directory, in no order. */
  list(directory: string): Promise<string[]>
  /** Makes the directory and its missing ancestors, each durably. */
  makeDirectory(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** Gives a file a second name; rejects where the file system knows of no such thing. */
  link(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  /** Size and last change; rejects with ENOENT when there is no such file. */
  stat(path: string): Promise<{ bytes: number; changedAt: number }>
}

export interface DiskFile {
  /** Fills the buffer from the position. @returns Bytes read; fewer than asked only at the end. */
  read(into: Uint8Array, position: number): Promise<number>
  /** Writes all of it, or rejects: then any part may have been written. */
  write(bytes: Uint8Array, position: number): Promise<void>
  /** fdatasync: the bytes and the file's size would survive power loss once it resolves. */
  sync(): Promise<void>
  truncate(bytes: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}
