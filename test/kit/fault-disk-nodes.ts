import type { Prng } from '../../core/runtime/prng.ts'

export type Node = FileNode | DirectoryNode

type Change = { position: number; bytes: Uint8Array } | { truncate: number }

/** Bytes that grow. */
class Content {
  #buffer: Buffer
  size: number

  constructor(buffer = Buffer.alloc(0)) {
    this.#buffer = buffer
    this.size = buffer.length
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.size)
  }

  copy(): Content {
    return new Content(Buffer.from(this.bytes))
  }

  read(into: Uint8Array, position: number): number {
    const from = this.bytes.subarray(Math.min(position, this.size), position + into.length)
    into.set(from)
    return from.length
  }

  apply(change: Change): void {
    if ('truncate' in change) {
      this.resize(change.truncate)
      return
    }
    if (change.bytes.length === 0) return
    if (change.position + change.bytes.length > this.size) {
      this.resize(change.position + change.bytes.length)
    }
    this.#buffer.set(change.bytes, change.position)
  }

  resize(size: number): void {
    if (size > this.#buffer.length) {
      const grown = Buffer.alloc(size * 2)
      grown.set(this.bytes)
      this.#buffer = grown
    } else if (size > this.size) {
      this.#buffer.fill(0, this.size, size)
    }
    this.size = size
  }
}

/** A file: what every read sees, and what a power loss leaves. See fault-disk.ts. */
export class FileNode {
  cached = new Content()
  #platter = new Content()
  #dirty: Change[] = []
  changedAt: number

  constructor(changedAt: number) {
    this.changedAt = changedAt
  }

  get bytes(): number {
    return this.cached.size
  }

  change(change: Change, changedAt: number): void {
    this.cached.apply(change)
    this.#dirty.push(change)
    this.changedAt = changedAt
  }

  sync(): void {
    for (const change of this.#dirty) this.#platter.apply(change)
    this.#dirty = []
  }

  dropDirty(prng: Prng): void {
    this.#writeSome(prng)
    if (prng.chance(0.5)) this.cached = this.#platter.copy()
  }

  /** As after a sync. */
  copy(): FileNode {
    const copy = new FileNode(this.changedAt)
    copy.cached = this.cached.copy()
    copy.#platter = this.cached.copy()
    return copy
  }

  rot(position: number): void {
    this.#dirty = []
    this.cached.bytes[position] ^= 0x55
    this.#platter = this.cached.copy()
  }

  losePower(prng: Prng): void {
    this.#writeSome(prng)
    this.cached = this.#platter.copy()
  }

  #writeSome(prng: Prng): void {
    const changes = this.#dirty
    this.#dirty = []
    if (changes.length === 0) return
    const mode = prng.int(4)
    if (mode === 0) return
    if (mode === 1) {
      for (const change of changes) this.#platter.apply(change)
      return
    }
    const unit = prng.pick([512, 4096])
    const junk = prng.chance(0.1)
    const before = this.#platter
    const sizes = [before.size]
    const versions = before.copy()
    for (const change of changes) {
      versions.apply(change)
      sizes.push(versions.size)
    }
    const after = new Content()
    after.resize(prng.pick(sizes))
    for (let at = 0; at < after.size; at += unit) {
      const kept = prng.int(changes.length + 1)
      const page = pageAfter(before, changes.slice(0, kept), at, unit)
      if (junk && at >= before.size && kept === 0) page.fill(prng.int(256))
      page.copy(after.bytes, at, 0, Math.min(unit, after.size - at))
    }
    this.#platter = after
  }
}

function pageAfter(before: Content, changes: Change[], at: number, unit: number): Buffer {
  const page = Buffer.alloc(unit)
  before.read(page, at)
  for (const change of changes) {
    if ('truncate' in change) {
      page.fill(0, Math.min(unit, Math.max(0, change.truncate - at)))
      continue
    }
    const first = Math.max(at, change.position)
    const end = Math.min(at + unit, change.position + change.bytes.length)
    if (first < end) {
      page.set(change.bytes.subarray(first - change.position, end - change.position), first - at)
    }
  }
  return page
}

interface EntryChange {
  remove: string | undefined
  add: [name: string, node: Node] | undefined
}

export class DirectoryNode {
  cached = new Map<string, Node>()
  #platter = new Map<string, Node>()
  #dirty: EntryChange[] = []

  get bytes(): number {
    let sum = 0
    for (const node of this.cached.values()) sum += node.bytes
    return sum
  }

  change(change: EntryChange): void {
    applyEntry(this.cached, change)
    this.#dirty.push(change)
  }

  copy(): DirectoryNode {
    const copy = new DirectoryNode()
    for (const [name, node] of this.cached) copy.cached.set(name, node.copy())
    copy.#platter = new Map(copy.cached)
    return copy
  }

  become(other: DirectoryNode): void {
    this.cached = other.cached
    this.#platter = other.#platter
    this.#dirty = []
  }

  sync(): void {
    for (const change of this.#dirty) applyEntry(this.#platter, change)
    this.#dirty = []
  }

  losePower(prng: Prng): void {
    const share = prng.pick([0, 0.5, 1])
    for (const change of this.#dirty) {
      if (prng.chance(share)) applyEntry(this.#platter, change)
    }
    this.#dirty = []
    this.cached = new Map(this.#platter)
    for (const node of this.cached.values()) node.losePower(prng)
  }
}

function applyEntry(entries: Map<string, Node>, { remove, add }: EntryChange): void {
  if (remove !== undefined) entries.delete(remove)
  if (add) entries.set(...add)
}
