/** Lines that a child told, and what must hold over all its lives. See kill-child.ts. */
export class KillHistory {
  readonly violations: string[] = []
  /** Records acknowledged, by offset. */
  readonly acked = new Map<number, number>()
  readonly #read = new Set<number>()
  readonly #dropped = new Set<number>()
  /** `epoch/offset` → id, and the other way round. */
  readonly #names = new Map<string, number>()
  readonly #named = new Map<number, string>()
  #saved = 0
  #next = 0

  take(line: string): void {
    const [what, ...words] = line.split(' ')
    const [first, second] = words.map(Number)
    if (what === 'begin') this.begin(first)
    else if (what === 'ack') this.#ack(words[0], second, Number(words[2]), Number(words[3]))
    else if (what === 'read') this.read(words[0], second, Number(words[2]))
    else if (what === 'saved') this.#saved = Math.max(this.#saved, first)
    else if (what === 'drop') for (let at = first; at < second; at++) this.#dropped.add(at)
    else this.violations.push(`the child says: ${line}`)
  }

  /** The reader of a new life begins here: behind what was saved, before what it has not read. */
  begin(offset: number): void {
    if (offset < this.#saved) {
      this.violations.push(`reading begins at ${offset} again, though ${this.#saved} was saved`)
    }
    this.#missing(0, offset)
    this.#next = offset
  }

  read(epoch: string, offset: number, id: number): void {
    if (id < 0) this.violations.push(`${epoch}/${offset} has bytes that nobody appended`)
    if (offset < this.#next) this.violations.push(`${offset} was given when ${this.#next} was next`)
    this.#missing(this.#next, offset)
    this.#next = offset + 1
    this.#read.add(offset)
    this.#name(`${epoch}/${offset}`, id)
    const acked = this.acked.get(offset)
    if (acked !== undefined && acked !== id) {
      this.violations.push(`${id} was given at ${offset}, where ${acked} was acknowledged`)
    }
  }

  /** Nothing more is there to be read. */
  end(): void {
    this.#missing(0, Number.POSITIVE_INFINITY)
  }

  #ack(epoch: string, first: number, id: number, count: number): void {
    for (let i = 0; i < count; i++) {
      if (this.acked.has(first + i)) this.violations.push(`${first + i} was given away twice`)
      this.acked.set(first + i, id + i)
      this.#name(`${epoch}/${first + i}`, id + i)
    }
  }

  #missing(first: number, end: number): void {
    for (const offset of this.acked.keys()) {
      if (offset < first || offset >= end) continue
      if (this.#read.has(offset) || this.#dropped.has(offset)) continue
      this.violations.push(`${offset} was acknowledged, neither dropped nor ever read`)
      return
    }
  }

  #name(name: string, id: number): void {
    const before = this.#names.get(name)
    if (before !== undefined && before !== id) {
      this.violations.push(`${name} names two records: ${before} and ${id}`)
    }
    const other = this.#named.get(id)
    if (other !== undefined && other !== name) {
      this.violations.push(`record ${id} stands under two names: ${other} and ${name}`)
    }
    this.#names.set(name, id)
    this.#named.set(id, name)
  }
}
