/**
 * The candidate a mistyped name most likely meant, or undefined when none is close.
 *
 * Close: at most one edit in three letters, and never more than three. Upper case, `-` and `_` make
 * no difference, so `batchBytesMax` finds `batch_bytes_max`.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(name)
  let best: string | undefined
  let bestDistance = Math.min(3, Math.max(1, Math.floor(wanted.length / 3))) + 1
  for (const candidate of candidates) {
    const found = plain(candidate)
    // A name far longer cannot be close; this bounds the work for absurd keys.
    if (Math.abs(found.length - wanted.length) >= bestDistance) continue
    const distance = editDistance(wanted, found)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/**
 * Insertions, deletions, substitutions and swaps of neighbours that lead from one text to another.
 *
 * Source: F. Damerau, A technique for computer detection and correction of spelling errors, 1964,
 * in the form of the optimal string alignment.
 */
export function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const row = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      let distance = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1))
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        distance = Math.min(distance, beforeLast[j - 2] + 1)
      }
      row.push(distance)
    }
    beforeLast = last
    last = row
  }
  return last[to.length]
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '')
}
