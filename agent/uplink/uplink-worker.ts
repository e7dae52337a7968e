import assert from 'node:assert'
import { parentPort, workerData } from 'node:worker_threads'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import { openClaimedReader } from '../../core/log/reader-claim.ts'
import { createLogger, type LogLevel } from '../../core/runtime/log.ts'
import type { Lane } from './lane.ts'
import type { LaneView } from './lane-view.ts'
import { openLane } from './open-lane.ts'
import type { UplinkNews, UplinkOrder, UplinkThreadData } from './uplink-message.ts'

/*
 * The uplink's thread: both lanes, over the logs' files and control blocks. What Kafka's client costs
 * delays no acknowledgement, and a fault of the client ends this thread, not the agent.
 */

/** How often the agent hears of the lanes, when there is news. */
const NEWS_INTERVAL_MS = 100

assert(parentPort, 'runs as a worker thread only')
const port = parentPort
const { plans, marks: knownMarks, logLevel } = workerData as UplinkThreadData
const marks = new Map<bigint, ClockMark>(knownMarks.map(mark => [mark.bootId, mark]))
const logger = createLogger(logLevel as LogLevel)

const lanes = plans.map(plan => {
  const onGap = (gap: Extract<UplinkNews, { kind: 'gap' }>['gap']) =>
    tell({ kind: 'gap', lane: plan.lane, gap })
  const reader = openClaimedReader(plan.claim, { onGap })
  return openLane(
    plan,
    reader,
    logger,
    bootId => marks.get(bootId),
    cursor => tell({ kind: 'beyond-end', lane: plan.lane, cursor })
  )
})
let stopping = false
let told = ''
const news = setInterval(tellLanes, NEWS_INTERVAL_MS)
port.on('message', (order: UplinkOrder) => {
  if (order.kind === 'mark') marks.set(order.mark.bootId, order.mark)
  else void stop(order.drainMs)
})
for (const lane of lanes) {
  lane.start().catch(error => {
    if (stopping) return
    // Unhandled: it ends the thread, and both lanes begin anew.
    process.nextTick(() => {
      throw error
    })
  })
}

async function stop(drainMs: number): Promise<void> {
  stopping = true
  await Promise.all(lanes.map(lane => lane.stop(drainMs)))
  clearInterval(news)
  tellLanes()
  tell({ kind: 'stopped' })
  port.close()
}

/** Nothing, when nothing changed: an idle agent sleeps. */
function tellLanes(): void {
  const views = lanes.map(viewOf)
  const text = JSON.stringify(views)
  if (text === told) return
  told = text
  tell({ kind: 'lanes', lanes: views })
}

function tell(message: UplinkNews): void {
  port.postMessage(message)
}

function viewOf(lane: Lane): LaneView {
  const { name, state, oldestAt, sendingMs, expectedMs, rate, counters, deadLetters, filtered } =
    lane
  return { name, state, oldestAt, sendingMs, expectedMs, rate, counters, deadLetters, filtered }
}
