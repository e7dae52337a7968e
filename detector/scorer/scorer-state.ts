import type { Scorer } from './scorer.ts'

type Saved = Pick<Scorer, 'stateBytes' | 'save' | 'load' | 'reset'>

/** A slot's state as bytes of its own. */
export function snapshotOf(scorer: Saved, slot: number): Uint8Array {
  const words = new Int32Array(scorer.stateBytes / 4)
  scorer.save(slot, words, 0)
  return new Uint8Array(words.buffer)
}

/** @returns false, and an empty slot, when the bytes are not of this scorer. */
export function restoreTo(scorer: Saved, slot: number, state: Uint8Array): boolean {
  scorer.reset(slot)
  if (state.length !== scorer.stateBytes) return false
  return scorer.load(slot, new Int32Array(Uint8Array.from(state).buffer), 0)
}
