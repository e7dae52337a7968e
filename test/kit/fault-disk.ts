import path from 'node:path'
import type { Disk, DiskFile } from '../../core/log/disk.ts'
import type { Prng } from '../../core/runtime/prng.ts'
import { DirectoryNode, FileNode, type Node } from './fault-disk-nodes.ts'

/*
 * A disk in memory that tears, forgets and fails, by a seed.
 *
 * The fault model:
 *   1. A file has two states: the page cache, which every read sees, and the platter. A sync brings
 *      the platter up to the cache. Nothing else has to.
 *   2. A process death (`reboot('process')`) keeps the page cache, and with it all that was
 *      written or renamed, synced or not; a write under way may be there in part.
 *   3. A power loss (`reboot('power')`) keeps the platter and any subset of what was not synced, in
 *      any order: torn in units of 512 B or 4 KiB, each unit as it was after any one of the writes
 *      since the last sync. The file's size is one of those it had since, independent of the
 *      bytes: what lies within it and was not written reads as zeros, or as a stranger's old bytes.
 *   4. A directory forgets alike: each create, rename and unlink since its last sync is kept or lost
 *      on its own. A rename within a directory is one step; between two it is two.
 *   5. A sync that fails (EIO, ENOSPC) has written any subset, and the rest is clean: a later sync
 *      succeeds without it. Reads may go on to see it, or not. A directory's sync that fails has
 *      done nothing: metadata stays in the journal for the next.
 *   6. A write that fails (ENOSPC or EIO) has written any number of its bytes. ENOSPC comes by
 *      chance and when the files together reach the capacity.
 *   7. The process dies at any step of any operation (`crashAt`): before it, after it, or in the
 *      middle of a write. From then on no operation of that incarnation ever settles.
 *   8. A synced byte of a file changes (`rot`), when told to.
 *   9. An older copy of the whole disk is put back (`backup`), when told to.
 * Not in the model: synced bytes that vanish (the damage tests do that), reads that fail.
 */
export interface Faults {
  /** Chances, each a call. */
  syncFails: number
  writeFails: number
  noSpace: number
}

export const NO_FAULTS: Faults = { syncFails: 0, writeFails: 0, noSpace: 0 }

export interface ArmedSync {
  /** The next sync of a file, or the one that would make a new segment's name durable. */
  of: 'file' | 'segment'
  /** It fails; or the process dies over it, with nothing synced. */
  how: 'fails' | 'dies'
  /** After it failed the process dies over one of so many steps. */
  thenDiesWithin?: number
}

export interface FaultDiskOptions {
  prng: Prng
  faults?: Faults
  capacityBytes?: number
  /** Epoch ms. */
  now?: () => number
}

export class FaultDisk {
  faults: Faults
  capacityBytes: number
  /** What comes over one sync, and no other: cleared by it. */
  armed: ArmedSync | undefined
  readonly prng: Prng
  readonly now: () => number
  readonly root = new DirectoryNode()
  #alive: Incarnation | undefined

  constructor(options: FaultDiskOptions) {
    this.prng = options.prng
    this.faults = options.faults ?? NO_FAULTS
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    this.now = options.now ?? (() => 0)
  }

  /**
   * The disk as one process sees it.
   *
   * @param turn Awaited before each step: the order of concurrent operations is the caller's.
   * @param crashAt The step, from 1, at which the process dies.
   */
  boot(
    turn: () => Promise<void> = async () => {},
    crashAt = Number.POSITIVE_INFINITY
  ): Incarnation {
    this.#alive?.die()
    this.#alive = new Incarnation(this, turn, crashAt)
    return this.#alive
  }

  /** Ends the incarnation that is alive, and decides what is left of what it wrote. */
  reboot(kind: 'process' | 'power'): void {
    this.#alive?.die()
    if (kind === 'power') this.root.losePower(this.prng)
  }

  /**
   * A backup of what a process would see now.
   *
   * @returns Puts it back, synced, in place of everything; ends the incarnation that is alive.
   */
  backup(): () => void {
    const kept = this.root.copy()
    return () => {
      this.#alive?.die()
      this.root.become(kept.copy())
    }
  }

  /** Flips bits of one byte that was synced; the process notices only when it reads it. */
  rot(file: string, position: number): void {
    const node = this.node(file)
    if (node instanceof FileNode && position < node.bytes) node.rot(position)
  }

  get usedBytes(): number {
    return this.root.bytes
  }

  /** Sizes of the files of a directory as a process would see them. */
  sizes(directory: string): Map<string, number> {
    const node = this.node(directory)
    if (!(node instanceof DirectoryNode)) return new Map()
    return new Map([...node.cached].map(([name, child]) => [name, child.bytes]))
  }

  node(file: string): Node | undefined {
    let node: Node | undefined = this.root
    for (const name of path.resolve('/', file).split('/').filter(Boolean)) {
      node = node instanceof DirectoryNode ? node.cached.get(name) : undefined
    }
    return node
  }
}

const NEVER = new Promise<never>(() => {})

/** One process's view of the disk; dead, none of its operations settles. */
export class Incarnation implements Disk {
  readonly #disk: FaultDisk
  readonly #turn: () => Promise<void>
  #crashAt: number
  #lastMade = ''
  steps = 0
  dead = false

  constructor(disk: FaultDisk, turn: () => Promise<void>, crashAt: number) {
    this.#disk = disk
    this.#turn = turn
    this.#crashAt = crashAt
  }

  die(): void {
    this.dead = true
  }

  /** What comes over this sync, if it is the one armed for. */
  fire(of: ArmedSync['of']): ArmedSync['how'] | undefined {
    const { armed } = this.#disk
    if (armed?.of !== of) return undefined
    this.#disk.armed = undefined
    if (armed.how === 'dies') this.die()
    else if (armed.thenDiesWithin) this.dieWithin(armed.thenDiesWithin)
    return armed.how
  }

  /** Dies over one of the next steps, if not before. */
  dieWithin(steps: number): void {
    this.#crashAt = Math.min(this.#crashAt, this.steps + steps)
  }

  /** @param effect Gets the share of its work to do, below 1 only in a crash's last step. */
  async step<T>(effect: (share: number) => T): Promise<T> {
    if (this.dead) return NEVER
    await this.#turn()
    if (this.dead) return NEVER
    this.steps++
    if (this.steps < this.#crashAt) {
      const result = effect(1)
      // An armed sync was the last step.
      return this.dead ? NEVER : result
    }
    const { prng } = this.#disk
    const share = prng.pick([0, 1, prng.float()])
    try {
      if (share > 0) effect(share)
    } catch {
      // Nobody is left to be told.
    }
    this.die()
    return NEVER
  }

  open(file: string, mode: 'read' | 'write' | 'create'): Promise<DiskFile> {
    return this.step(() => {
      const [parent, name] = this.#parent(file)
      const found = parent.cached.get(name)
      if (mode === 'create') {
        if (found) throw systemError('EEXIST', file)
        if (this.#disk.prng.chance(this.#disk.faults.noSpace)) throw systemError('ENOSPC', file)
        const made = new FileNode(this.#disk.now())
        parent.change({ remove: undefined, add: [name, made] })
        this.#lastMade = name
        return new OpenFile(this, this.#disk, made)
      }
      if (!found) throw systemError('ENOENT', file)
      if (found instanceof DirectoryNode) throw systemError('EISDIR', file)
      return new OpenFile(this, this.#disk, found)
    })
  }

  list(directory: string): Promise<string[]> {
    return this.step(() => [...this.#directory(directory).cached.keys()])
  }

  async makeDirectory(directory: string): Promise<void> {
    const made: string[] = []
    let at = '/'
    for (const name of path.resolve('/', directory).split('/').filter(Boolean)) {
      const parent = at
      at = path.join(at, name)
      const node = this.#disk.node(at)
      if (node instanceof FileNode) throw systemError('EEXIST', at)
      if (node) continue
      await this.step(() => {
        this.#directory(parent).change({ remove: undefined, add: [name, new DirectoryNode()] })
      })
      made.push(parent)
    }
    for (const parent of made.reverse()) await this.syncDirectory(parent)
  }

  syncDirectory(directory: string): Promise<void> {
    return this.step(share => {
      const node = this.#directory(directory)
      if (share < 1) return
      const { prng, faults } = this.#disk
      const armed = this.#lastMade.endsWith('.seg') ? this.fire('segment') : undefined
      this.#lastMade = ''
      if (armed === 'dies') return
      if (!armed && !prng.chance(faults.syncFails)) return node.sync()
      throw systemError(prng.pick(['EIO', 'ENOSPC']), directory)
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.step(() => {
      const [source, sourceName] = this.#parent(from)
      const [target, targetName] = this.#parent(to)
      const node = source.cached.get(sourceName)
      if (!node) throw systemError('ENOENT', from)
      if (source === target) {
        source.change({ remove: sourceName, add: [targetName, node] })
      } else {
        target.change({ remove: undefined, add: [targetName, node] })
        source.change({ remove: sourceName, add: undefined })
      }
    })
  }

  link(from: string, to: string): Promise<void> {
    return this.step(() => {
      const [source, sourceName] = this.#parent(from)
      const [target, targetName] = this.#parent(to)
      const node = source.cached.get(sourceName)
      if (!node) throw systemError('ENOENT', from)
      if (node instanceof DirectoryNode) throw systemError('EPERM', from)
      target.change({ remove: undefined, add: [targetName, node] })
    })
  }

  unlink(file: string): Promise<void> {
    return this.step(() => {
      const [parent, name] = this.#parent(file)
      const node = parent.cached.get(name)
      if (!node) throw systemError('ENOENT', file)
      if (node instanceof DirectoryNode) throw systemError('EISDIR', file)
      parent.change({ remove: name, add: undefined })
    })
  }

  stat(file: string): Promise<{ bytes: number; changedAt: number }> {
    return this.step(() => {
      const node = this.#disk.node(file)
      if (!node) throw systemError('ENOENT', file)
      return { bytes: node.bytes, changedAt: node instanceof FileNode ? node.changedAt : 0 }
    })
  }

  #directory(directory: string): DirectoryNode {
    const node = this.#disk.node(directory)
    if (!node) throw systemError('ENOENT', directory)
    if (node instanceof FileNode) throw systemError('ENOTDIR', directory)
    return node
  }

  #parent(file: string): [DirectoryNode, string] {
    return [this.#directory(path.dirname(path.resolve('/', file))), path.basename(file)]
  }
}

class OpenFile implements DiskFile {
  readonly #incarnation: Incarnation
  readonly #disk: FaultDisk
  readonly #node: FileNode
  #open = true

  constructor(incarnation: Incarnation, disk: FaultDisk, node: FileNode) {
    this.#incarnation = incarnation
    this.#disk = disk
    this.#node = node
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#step(() => this.#node.cached.read(into, position))
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    // As the kernel has it: a copy, taken when the call is made.
    const copy = Buffer.from(bytes)
    return this.#step(share => {
      const { prng, faults, capacityBytes, usedBytes } = this.#disk
      const grows = Math.max(0, position + copy.length - this.#node.bytes)
      const over = Math.max(0, usedBytes + grows - capacityBytes)
      let code: 'ENOSPC' | 'EIO' | undefined
      let put = Math.floor(copy.length * share)
      if (over > 0) {
        code = 'ENOSPC'
        put = Math.min(put, Math.max(0, copy.length - over))
      } else if (prng.chance(faults.noSpace)) code = 'ENOSPC'
      else if (prng.chance(faults.writeFails)) code = 'EIO'
      if (code && over === 0) put = prng.int(copy.length + 1)
      this.#node.change({ position, bytes: copy.subarray(0, put) }, this.#disk.now())
      if (code) throw systemError(code, 'write')
    })
  }

  sync(): Promise<void> {
    return this.#step(share => {
      if (share < 1) return
      const { prng, faults } = this.#disk
      const armed = this.#incarnation.fire('file')
      if (armed === 'dies') return
      if (!armed && !prng.chance(faults.syncFails)) return this.#node.sync()
      this.#node.dropDirty(prng)
      throw systemError(prng.pick(['EIO', 'ENOSPC']), 'fdatasync')
    })
  }

  truncate(bytes: number): Promise<void> {
    return this.#step(() => this.#node.change({ truncate: bytes }, this.#disk.now()))
  }

  size(): Promise<number> {
    return this.#step(() => this.#node.bytes)
  }

  close(): Promise<void> {
    return this.#step(() => {
      this.#open = false
    })
  }

  #step<T>(effect: (share: number) => T): Promise<T> {
    return this.#incarnation.step(share => {
      if (!this.#open) throw systemError('EBADF', 'file')
      return effect(share)
    })
  }
}

export function systemError(code: string, where: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${where}`), { code })
}
