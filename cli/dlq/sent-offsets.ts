/** Kafka refuses group metadata beyond `offset.metadata.max.bytes`, 4096 by default. */
const METADATA_CHARS_MAX = 4000

/**
 * Which dead letters of one partition are done with: all before `first`, and some behind it, because
 * what still fails is left while what comes after it is sent. Kept as a group's offset (`first`) and
 * its metadata: `1:` and pairs of skipped and done, in base 36, `3.5` for "three left, five done".
 */
export class SentOffsets {
  #first: number
  /** Half-open, ascending, apart from each other, all behind `first`. */
  readonly #done: [first: number, end: number][]

  private constructor(first: number, done: [number, number][]) {
    this.#first = first
    this.#done = done
  }

  /** @param committed As Kafka tells it; nothing, and what cannot be read, begins at 0. */
  static parse(committed: { offset: string; metadata?: string | null } | undefined): SentOffsets {
    const first = Number(committed?.offset ?? -1)
    if (!Number.isSafeInteger(first) || first < 0) return new SentOffsets(0, [])
    const text = committed?.metadata ?? ''
    const done: [number, number][] = []
    let at = first
    if (/^1:(\w+\.\w+(,\w+\.\w+)*)$/.test(text)) {
      for (const pair of text.slice(2).split(',')) {
        const [left, length] = pair.split('.').map(part => Number.parseInt(part, 36))
        done.push([at + left, at + left + length])
        at += left + length
      }
    }
    return new SentOffsets(first, done)
  }

  /** Everything before it is done. */
  get first(): number {
    return this.#first
  }

  has(offset: number): boolean {
    return offset < this.#first || this.#done.some(([from, end]) => offset >= from && offset < end)
  }

  copy(): SentOffsets {
    return new SentOffsets(
      this.#first,
      this.#done.map(([from, end]) => [from, end])
    )
  }

  /** [from, end) is done with. */
  add(from: number, end: number): void {
    const apart: [number, number][] = []
    let merged: [number, number] = [from, end]
    for (const range of this.#done) {
      if (range[1] < merged[0] || range[0] > merged[1]) apart.push(range)
      else merged = [Math.min(merged[0], range[0]), Math.max(merged[1], range[1])]
    }
    apart.push(merged)
    apart.sort(([a], [b]) => a - b)
    while (apart.length > 0 && apart[0][0] <= this.#first) {
      this.#first = Math.max(this.#first, apart.shift()![1])
    }
    this.#done.splice(0, this.#done.length, ...apart)
  }

  /** @returns undefined when there are more gaps than a group's metadata can hold. */
  format(): { offset: string; metadata: string } | undefined {
    let at = this.#first
    const pairs = this.#done.map(([from, end]) => {
      const pair = `${(from - at).toString(36)}.${(end - from).toString(36)}`
      at = end
      return pair
    })
    const metadata = `1:${pairs.join(',')}`
    return metadata.length > METADATA_CHARS_MAX
      ? undefined
      : { offset: String(this.#first), metadata }
  }
}
