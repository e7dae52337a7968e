import { parentPort, workerData } from 'node:worker_threads'
import { openClaimedReader, type ReaderClaim } from '../../../core/log/reader-claim.ts'

/**
 * Reads by a claim until the log closes; tells gaps as `{ gap }`, and after each batch how many
 * records it has seen as `{ seen }`. In the end `{ seen, outOfOrder, ended: true }`.
 */
const { claim, commits } = workerData as { claim: ReaderClaim; commits: boolean }
const port = parentPort!
// Waiting on shared memory alone does not keep a thread alive.
port.ref()
const reader = openClaimedReader(claim, { onGap: gap => port.postMessage({ gap }) })
let seen = 0
let outOfOrder = 0
let next = claim.from.offset
for (;;) {
  const batch = await reader.read({ bytesMax: 1 << 16 })
  if (!batch) break
  for (const { offset, payload } of batch.records) {
    const text = Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString('latin1')
    if (offset !== next || !text.startsWith(`r${offset}.`)) outOfOrder++
    next = offset + 1
  }
  seen += batch.records.length
  if (commits) reader.commit(batch.end)
  port.postMessage({ seen })
}
port.postMessage({ seen, outOfOrder, ended: true })
