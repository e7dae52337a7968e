import type { AlertEvent } from '../../core/contract/alert-event.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { deviceKey, TOPICS } from '../../core/contract/topics.ts'
import type { FaultKind } from '../../firmware-sim/fault.ts'
import type { Fleet } from '../../firmware-sim/fleet.ts'
import { latency, seconds, thousands } from '../terminal/text.ts'
import { raisedAlerts, scoreFaults } from './fault-score.ts'
import type { Scene } from './frame.ts'
import { type FoundReading, judgeDelivery, type Ledger, sequenceOf } from './judge.ts'
import { readTopics } from './kafka-reader.ts'
import type { Observer } from './observer.ts'
import type { DemoResult } from './result.ts'
import type { Stage } from './stage.ts'
import { DEVICES, type Timeline } from './timeline.ts'

export const CHAPTERS = ['learn', 'detect', 'Kafka stopped', 'drain', 'agent killed', 'verdict']
export const CHAPTERS_AWAY = ['learn', 'detect', 'agent killed', 'verdict']

export interface Play {
  stage: Stage
  observer: Observer
  timeline: Timeline
  seed: number
  delivery: string
  /** What is being shown now; the script writes it. */
  scene: Scene
  tell: (text: string) => void
  /** Aborted with the reason why the play ends early. */
  signal: AbortSignal
}

const SITE = 'plant1'
/** What today's detector claims to find; `stuck` is a kind of alert that nobody raises yet. */
const LOOKED_FOR: readonly FaultKind[] = ['spike', 'shift', 'silence', 'drift']
const PROBE_RATE = 20
const FAULTY_SHARE = 0.5
const GRACE_MS = 5_000
const AGENT_START_MS_MAX = 20_000
const AGENT_STOP_MS_MAX = 20_000
const DRAIN_MS_MAX = 30_000
const FLEET_END_MS_MAX = 15_000
const READ_MS_MAX = 20_000

/** The demo with a real Kafka. @param how What the Kafka runs on. */
export async function play(p: Play, how: string): Promise<Omit<DemoResult, 'elapsedMs'>> {
  const { timeline, tell, scene } = p
  const fromAt = performance.now()
  scene.headline = 'Starting a real Kafka on this machine, then the agent.'
  tell(`Starting Apache Kafka on ${p.stage.kafkaAddress} (${how}).`)
  await p.stage.startKafka(p.signal)
  scene.kafka = 'running'
  tell(`Kafka answers after ${seconds(performance.now() - fromAt)}; starting the agent.`)
  await startAgent(p)
  const fleet = await learnAndDetect(p, timeline.outageAtMs)
  const outage = await outageAndDrain(p, fleet)
  const pubackMs = { ...p.observer.now.ackMs }
  const agentAwayMs = await killAndRestart(p, 4)
  await endFleet(p, fleet)

  scene.chapter = 5
  scene.headline = 'The fleet is done. Waiting until the last reading and alert are in Kafka.'
  await delivered(p)
  await stopAgent(p)
  scene.headline = 'Reading all of Kafka back, to compare with what devices were told is safe.'
  const found = await readBack(p)
  const ledger = { ...ledgerOf(fleet.fleet), ...(fleet.probe && ledgerOf(fleet.probe)) }
  const verdict = judgeDelivery(ledger, found.readings)
  return {
    ok: verdict.lost === 0 && verdict.reordered === 0 && verdict.acknowledged > 0,
    ...{ kafka: 'real', delivery: p.delivery, seed: p.seed, devices: DEVICES },
    ...{ pubackMs, outage, agentAwayMs, verdict, alertsToldTwice: found.alertsToldTwice },
    faults: score(fleet, found.alerts)
  }
}

/** An edge agent's normal day: no Kafka for as long as the demo lasts. */
export async function playAway(p: Play): Promise<Omit<DemoResult, 'elapsedMs'>> {
  const { scene } = p
  scene.kafka = 'away'
  scene.headline = 'Starting the agent; there is no Kafka here.'
  await startAgent(p)
  const fleet = await learnAndDetect(p, p.timeline.outageAtMs)
  const pubackMs = { ...p.observer.now.ackMs }
  const agentAwayMs = await killAndRestart(p, 2)
  await endFleet(p, fleet)

  scene.chapter = 3
  scene.headline = "The fleet is done. Asking the agent's /status what its log holds."
  const acknowledged = acknowledgedBy(fleet)
  const status = await p.observer.ask()
  if (!status) throw new Error('the agent does not answer /status')
  const inLog = status.lanes.telemetry.backlogRecords
  const lost = Math.max(0, acknowledged - inLog)
  await stopAgent(p)
  return {
    ok: lost === 0 && acknowledged > 0,
    ...{ kafka: 'away', delivery: p.delivery, seed: p.seed, devices: DEVICES },
    ...{ pubackMs, agentAwayMs, buffer: { acknowledged, inLog, lost }, alertsToldTwice: 0 },
    faults: score(fleet, [...p.observer.alerts.raised, ...p.observer.alerts.joinings])
  }
}

interface RunningFleet {
  fleet: Fleet
  /** Started when the learning is over. */
  probe?: Fleet
  startedAt: number
  endAt: number
  /** ms since it began. */
  elapsed(): number
}

async function startAgent(p: Play): Promise<void> {
  p.stage.agent.start()
  p.observer.start()
  await until(p, 'the agent to accept readings', AGENT_START_MS_MAX, () => {
    const { answering, status } = p.observer.now
    return answering && status?.ready === true
  })
  p.scene.agent = 'running'
}

async function learnAndDetect(p: Play, untilMs: number): Promise<RunningFleet> {
  const { timeline, scene, tell } = p
  scene.headline = 'All devices are well: the detector learns what is usual for each of them.'
  const startedAt = Date.now()
  const from = performance.now()
  const fleet = await p.stage.startFleet({
    ...{ devices: DEVICES, rate: timeline.rate, durationMs: timeline.endMs, seed: p.seed },
    ...{ site: SITE, metrics: 3, backOffMsMax: 1_000 },
    faults: { deviceShare: FAULTY_SHARE, warmUpMs: timeline.learnMs }
  })
  const running: RunningFleet = {
    ...{ fleet, startedAt, endAt: startedAt + timeline.endMs },
    elapsed: () => performance.now() - from
  }
  tell(`${DEVICES} devices connect over MQTT and send ${timeline.rate} readings a second (QoS 1).`)
  await untilMoment(p, running, timeline.learnMs)
  running.probe = await p.stage.startProbe({
    ...{ devices: 1, rate: PROBE_RATE, durationMs: timeline.endMs - timeline.learnMs },
    ...{ seed: p.seed, site: SITE, prefix: 'probe-', faults: false, backOffMsMax: 1_000 }
  })
  scene.chapter = 1
  scene.headline = 'Devices now fail on purpose: spikes, shifts, silence. Alerts come as found.'
  tell(`From now on ${FAULTY_SHARE * 100} of the ${DEVICES} devices fail, one after another.`)
  await untilMoment(p, running, untilMs)
  return running
}

async function outageAndDrain(
  p: Play,
  running: RunningFleet
): Promise<NonNullable<DemoResult['outage']>> {
  const { timeline, scene, tell, stage, observer, signal } = p
  const acknowledgedBefore = observer.now.acknowledged
  const pid = stage.kafka.pid
  scene.chapter = 2
  scene.headline = 'Kafka is stopped: devices still get their PUBACKs; readings wait on disk.'
  scene.kafka = 'stopped'
  const stoppedAt = performance.now()
  await stage.kafka.kill()
  tell(`Pulled the plug: Kafka was killed (SIGKILL, process ${pid}).`)
  await pause(p, timeline.outageMs - (performance.now() - stoppedAt))
  const stoppedMs = Math.round(performance.now() - stoppedAt)

  scene.headline = 'Kafka starts again. Until it answers, readings go on waiting on disk.'
  scene.kafka = 'starting'
  const early = observer.now
  tell(
    `${thousands(early.acknowledged - acknowledgedBefore)} readings acknowledged without Kafka; ` +
      `median PUBACK ${latency(early.ackMs.p50)}.`
  )
  tell('Starting Kafka again, on the same data.')
  await stage.kafka.restart()
  signal.throwIfAborted()
  scene.kafka = 'running'
  scene.chapter = 3
  scene.headline = 'Kafka is back: what waited on disk drains, in order, while more arrives.'
  const backAt = performance.now()
  const acknowledged = observer.now.acknowledged - acknowledgedBefore
  await until(
    p,
    'the backlog to drain',
    Math.max(2_000, timeline.killAtMsMax - running.elapsed()),
    () => observer.now.status?.mode === 'streaming' && observer.now.backlog < timeline.rate,
    'go on'
  )
  const drainMs = Math.round(performance.now() - backAt)
  const backlogMax = Math.max(...observer.now.backlogHistory)
  const drained = observer.now.status?.mode === 'streaming'
  tell(
    drained
      ? `Drained: ${thousands(backlogMax)} readings had waited; all in Kafka ${seconds(drainMs)} after it came back.`
      : `The backlog has not drained ${seconds(drainMs)} after Kafka came back; going on.`
  )
  if (drained) {
    scene.headline = 'All caught up: readings go straight through again.'
    await pause(p, Math.min(timeline.restMs, timeline.killAtMsMax - running.elapsed()))
  }
  return { stoppedMs, acknowledged, backlogMax, drainMs }
}

async function killAndRestart(p: Play, chapter: number): Promise<number> {
  const { scene, tell, stage, observer, timeline } = p
  const pid = stage.agent.pid
  scene.chapter = chapter
  scene.headline = 'The agent was killed in mid-work. Devices keep what was not acknowledged.'
  scene.agent = 'dead'
  const killedAt = performance.now()
  await stage.agent.kill()
  tell(`Killed the agent (SIGKILL, process ${pid}).`)
  await pause(p, timeline.deadMs)
  scene.headline = 'The agent starts again: recovers its log, goes on where Kafka had got to.'
  scene.agent = 'starting'
  scene.restarted = true
  stage.agent.start()
  const before = observer.now.status?.uptimeMs ?? 0
  await until(p, 'the agent to come back', AGENT_START_MS_MAX, () => {
    const { answering, status } = observer.now
    return answering && status?.ready === true && status.uptimeMs < before
  })
  scene.agent = 'running'
  const awayMs = Math.round(performance.now() - killedAt)
  tell(`The agent accepts readings again, ${seconds(awayMs)} after it was killed.`)
  await until(
    p,
    'the devices to come back',
    10_000,
    () => observer.now.connected === DEVICES,
    'go on'
  )
  scene.headline = 'The agent is back; devices sent again what had not been acknowledged.'
  return awayMs
}

function acknowledgedBy({ fleet, probe }: RunningFleet): number {
  return fleet.counters().acknowledged + (probe?.counters().acknowledged ?? 0)
}

async function endFleet(p: Play, running: RunningFleet): Promise<void> {
  const { fleet, probe } = running
  let ended = false
  void Promise.all([fleet.done, probe?.done]).then(() => {
    ended = true
  })
  const limitMs = p.timeline.endMs + FLEET_END_MS_MAX
  await until(p, 'the fleet to end', limitMs, () => ended)
  const { waiting, inFlight } = fleet.counters()
  const open = waiting + inFlight
  p.tell(
    `The fleet stopped; ${thousands(acknowledgedBy(running))} messages were acknowledged` +
      `${open > 0 ? `, ${thousands(open)} were not` : ''}.`
  )
}

async function delivered(p: Play): Promise<void> {
  await until(p, 'the backlog to reach 0', DRAIN_MS_MAX, async () => {
    const lanes = Object.values((await p.observer.ask())?.lanes ?? {})
    return lanes.length > 0 && lanes.every(lane => lane.backlogRecords === 0)
  })
}

async function stopAgent(p: Play): Promise<void> {
  await p.observer.stop()
  p.scene.agent = 'stopped'
  if (await p.stage.agent.stop(AGENT_STOP_MS_MAX)) return
  p.tell(`The agent did not stop within ${AGENT_STOP_MS_MAX / 1000} s and was killed.`)
}

interface Found {
  readings: FoundReading[]
  alerts: AlertEvent[]
  alertsToldTwice: number
}

async function readBack(p: Play): Promise<Found> {
  const found: Found = { readings: [], alerts: [], alertsToldTwice: 0 }
  const ids = new Map<string, string | undefined>()
  const { kafkaAddress } = p.stage
  const topics = [TOPICS.telemetry, TOPICS.alerts]
  const take: Parameters<typeof readTopics>[2] = record => {
    const id = record.header(HEADERS.id)
    if (record.topic === TOPICS.telemetry) {
      const dup = record.header(HEADERS.dup) === '1'
      found.readings.push({ key: record.key, sequence: sequenceOf(record.value), id, dup })
      return
    }
    const event = JSON.parse(record.value?.toString() ?? '') as AlertEvent
    if (ids.has(event.id) && ids.get(event.id) !== id) found.alertsToldTwice++
    ids.set(event.id, id)
    found.alerts.push(event)
  }
  await readTopics(kafkaAddress, topics, take, READ_MS_MAX, p.signal)
  return found
}

function ledgerOf(fleet: Fleet): Ledger {
  const entries = Object.entries(fleet.ledger())
  return Object.fromEntries(entries.map(([device, through]) => [deviceKey(SITE, device), through]))
}

function score({ fleet, endAt }: RunningFleet, events: readonly AlertEvent[]) {
  const options = { lookedFor: LOOKED_FOR, graceMs: GRACE_MS, endAt: endAt - 1_000 }
  return scoreFaults(fleet.truth(), raisedAlerts(events), options)
}

async function untilMoment(p: Play, running: RunningFleet, atMs: number): Promise<void> {
  await pause(p, atMs - running.elapsed())
}

async function pause({ signal }: Play, ms: number): Promise<void> {
  signal.throwIfAborted()
  if (ms <= 0) return
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** @param late What to do when it does not happen within the limit. */
async function until(
  p: Play,
  what: string,
  limitMs: number,
  happened: () => boolean | Promise<boolean>,
  late: 'fail' | 'go on' = 'fail'
): Promise<void> {
  const limit = performance.now() + limitMs
  while (!(await happened())) {
    if (performance.now() > limit) {
      if (late === 'go on') return
      throw new Error(`waited ${Math.round(limitMs / 1000)} s for ${what}, in vain`)
    }
    await pause(p, 50)
  }
}
