import assert from 'node:assert'
import { parentPort, workerData } from 'node:worker_threads'
import type { AgentWord } from '../../core/contract/agent-status.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import { openClaimedReader } from '../../core/log/reader-claim.ts'
import { createLogger, type LogLevel, setLogLevel } from '../../core/runtime/log.ts'
import { openStatusTopic } from '../status-report/kafka-word-writer.ts'
import { plainView } from './lane-totals.ts'
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
const { plans, marks: knownMarks, statusTopic: plan, logLevel } = workerData as UplinkThreadData
const marks = new Map<bigint, ClockMark>(knownMarks.map(mark => [mark.bootId, mark]))
const logger = createLogger(logLevel as LogLevel)

const opened = plans.map(plan => {
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
const statusTopic = plan && openStatusTopic(plan, logger)
const lanes = opened.map(({ lane }) => lane)
let stopping = false
let told = ''
let toldView = statusTopic?.view
const news = setInterval(() => {
  tellLanes()
  tellStatusTopic()
}, NEWS_INTERVAL_MS)
port.on('message', (order: UplinkOrder) => {
  if (order.kind === 'mark') marks.set(order.mark.bootId, order.mark)
  else if (order.kind === 'say') statusTopic?.say(order.word)
  else if (order.kind === 'routes') for (const { useRoutes } of opened) useRoutes(order.routes)
  else if (order.kind === 'level') setLogLevel(logger, order.level)
  else if (order.kind === 'stop') void stop(order.drainMs, order.thenLastWord)
  else void endWith(order.word)
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

async function stop(drainMs: number, thenLastWord: boolean): Promise<void> {
  stopping = true
  await Promise.all(lanes.map(lane => lane.stop(drainMs)))
  clearInterval(news)
  tellLanes()
  if (thenLastWord && statusTopic) tell({ kind: 'drained' })
  else end()
}

async function endWith(word: AgentWord): Promise<void> {
  await statusTopic?.end(word)
  end()
}

function end(): void {
  tell({ kind: 'stopped' })
  port.close()
}

function tellStatusTopic(): void {
  const view = statusTopic?.view
  if (!view || view === toldView) return
  toldView = view
  tell({ kind: 'status-topic', view })
}

/** Nothing, when nothing changed: an idle agent sleeps. */
function tellLanes(): void {
  const views = lanes.map(plainView)
  const text = JSON.stringify(views)
  if (text === told) return
  told = text
  tell({ kind: 'lanes', lanes: views })
}

function tell(message: UplinkNews): void {
  port.postMessage(message)
}
