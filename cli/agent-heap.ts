import { setFlagsFromString } from 'node:v8'

/** After its start: threads are up, what they load is loaded. */
const STARTED_MS = 5_000

/**
 * Keeps the heaps of an agent and its threads small. To be called before anything is loaded.
 *
 * V8 lets a busy heap grow to four times what lives in it before it collects; less than twice is enough
 * here, and saves a quarter of the memory at full load for a tenth of the speed. What a start makes
 * lives on: young spaces that grow for its sake would stay large in an agent with nothing to do. And
 * what a storm of connections makes lives on: V8 would believe that of every message from then on, and
 * put half a kilobyte of each into the old heap, which PUBACKs wait for every half second (p99 at
 * 30,000 messages a second: 24 ms; 8 ms without).
 *
 * How large young spaces may become at all stands in the agent's unit and in the image
 * (`--max-semi-space-size`): V8 fixes it when it makes a heap, and the first is made before this is called.
 */
export function keepHeapsSmall(): void {
  setFlagsFromString('--heap-growing-percent=70')
  setFlagsFromString('--semi-space-growth-factor=1')
  setFlagsFromString('--no-allocation-site-pretenuring')
}

/** The start is over: a young space may grow with the load. */
export function letYoungSpacesGrow(): void {
  setTimeout(() => setFlagsFromString('--semi-space-growth-factor=2'), STARTED_MS).unref()
}
