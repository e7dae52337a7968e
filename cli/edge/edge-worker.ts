import assert from 'node:assert'
import { parentPort, workerData } from 'node:worker_threads'
import type { AlertFrame } from '../../core/contract/alert-event.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { createLogger, type LogLevel, setLogLevel } from '../../core/runtime/log.ts'
import type { EdgeNews, EdgeOrder, EdgeThreadData } from './edge-message.ts'
import { openEdgeDetector } from './open-edge-detector.ts'

/* The edge detector's thread: scoring delays no acknowledgement. Alerts are stored by the agent. */

assert(parentPort, 'runs as a worker thread only')
const port = parentPort
const { plan, logLevel } = workerData as EdgeThreadData
const logger = createLogger(logLevel as LogLevel)
/** Frames handed to the agent and not yet stored; the detector waits for each. */
const storing = new Map<number, (refusal: OperationalError | undefined) => void>()
let frames = 0

const { detector, view, devices } = await openEdgeDetector(
  plan,
  storeFrame,
  gap => tell({ kind: 'gap', gap }),
  logger
)
port.on('message', (order: EdgeOrder) => {
  if (order.kind === 'stored') {
    const { id, refusal } = order
    storing.get(id)?.(refusal && new OperationalError(refusal.code, refusal.message))
    storing.delete(id)
  } else if (order.kind === 'ask') {
    const status = { openAlerts: detector.openAlerts(), counters: detector.counters() }
    tell({ kind: 'status', id: order.id, status })
  } else if (order.kind === 'measure') {
    tell({ kind: 'measures', id: order.id, measures: detector.measures() })
  } else if (order.kind === 'look') {
    tell({ kind: 'looks', id: order.id, looks: view.look(order.requests) })
  } else if (order.kind === 'devices') {
    tell({ kind: 'devices', id: order.id, look: devices.look(order.request) })
  } else if (order.kind === 'level') {
    setLogLevel(logger, order.level)
  } else {
    void stop()
  }
})
await detector.start()
await detector.caughtUp()
tell({ kind: 'caught-up', openAlerts: detector.openAlerts() })

function storeFrame(frame: AlertFrame): Promise<void> {
  const id = ++frames
  return new Promise((resolve, reject) => {
    storing.set(id, refusal => (refusal ? reject(refusal) : resolve()))
    tell({ kind: 'store', id, frame })
  })
}

async function stop(): Promise<void> {
  await detector.stop()
  await devices.stop()
  port.close()
}

function tell(news: EdgeNews): void {
  port.postMessage(news)
}
