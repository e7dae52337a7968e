import type { DeliveryVerdict } from '../../cli/demo/judge.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { Fleet } from '../../firmware-sim/fleet.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { checkDelivery } from '../kit/delivery-check.ts'
import { testClient, uniqueTopic } from '../kit/kafka.ts'
import { beginOutage, type OutageKind, RECOVERY_MS_MAX } from './outage.ts'
import type { Stage } from './stage.ts'

export type DeliveryMode = 'at_least_once' | 'exactly_once'
/** What is ended by SIGKILL in the middle of the outage, and started again at once. */
export type Killed = 'neither' | 'agent' | 'broker'

export interface OutageCase {
  kind: OutageKind
  mode: DeliveryMode
  killed: Killed
  /** Decides readings, moments and lengths. */
  seed: number
  /** The outage lasts as long as is drawn from here … */
  awayMsMin: number
  /** … to here. */
  awayMsMax: number
}

export interface OutageResult {
  verdict: DeliveryVerdict
  /** From the network's return to the first record that went through; Infinity: not in time. */
  recoveryMs: number
  awayMs: number
  /** What was promised and did not hold; empty when all is well. */
  violations: string[]
}

const SITE = 'plant1'
const DEVICES = 12
const RATE = 400
const PARTITIONS = 3
/** Each outage finds requests on their way, and answers that will be lost. */
const FAR_MS = 150
/** Of the outage, after a kill and what it takes to start again. */
const REST_MS_MIN = 1_000
/** Longest wait for what is limited elsewhere, or not at all: a case must end. */
const PATIENCE_MS = 120_000
const POLL_MS = 20

/** What plays on a stage. */
interface Cast {
  agent: TestAgent
  fleet: Fleet
  startAgent: () => Promise<void>
}

/**
 * A fleet publishes by the agent, in its own process, to a real broker; the way to it fails; readings
 * are acknowledged all the while; the way is mended; what devices were told is safe is held against
 * what a consumer sees.
 */
export async function runCase(stage: Stage, spec: OutageCase): Promise<OutageResult> {
  const topic = await newTopic(stage)
  const agent = new TestAgent(configOf(topic), stage.environment)
  let fleet: Fleet | undefined
  try {
    const bootstrap = spec.kind === 'advertised' ? stage.entrance.address : stage.advertised
    const startAgent = (): Promise<void> => agent.start(bootstrap, '--delivery', spec.mode)
    await startAgent()
    fleet = newFleet(agent, spec.seed)
    await fleet.start()
    await untilCursor(agent, RATE)
    const passed = await passOutage(stage, spec, { agent, fleet, startAgent })
    // Some live traffic behind the backlog.
    await sleep(1000)
    await fleet.stop()
    await agent.until(isDrained, PATIENCE_MS)
    const ledger = ledgerOf(fleet)
    const verdict = await checkDelivery({ brokers: [stage.advertised], topic, ledger })
    const violations = [...passed.violations, ...broken(spec, verdict)]
    const code = await agent.stop()
    if (code !== 0) violations.push(`the agent ended with ${code}`)
    return { ...passed, verdict, violations }
  } catch (error) {
    throw new Error(`${nameOf(spec)}: ${error}\nThe agent said:\n${tail(agent.log())}`)
  } finally {
    await fleet?.stop()
    await agent.remove()
  }
}

/** From whole network to whole network and the first record that goes through it again. */
async function passOutage(
  stage: Stage,
  spec: OutageCase,
  { agent, fleet, startAgent }: Cast
): Promise<Omit<OutageResult, 'verdict'>> {
  const violations: string[] = []
  const prng = new Prng(spec.seed)
  const wantedMs = spec.awayMsMin + (spec.awayMsMax - spec.awayMsMin) * prng.float()
  await stage.link.set({ kind: 'open', roundTripMs: FAR_MS })
  await sleep(FAR_MS * (1 + 2 * prng.float()))
  const beganAt = performance.now()
  const end = await beginOutage(spec.kind, stage)
  try {
    await sleep(wantedMs * (0.2 + 0.4 * prng.float()))
    const cursor = await cursorOf(agent)
    if (spec.killed === 'agent') {
      await agent.kill()
      await startAgent()
    } else if (spec.killed === 'broker') {
      await stage.broker.kill()
      await stage.broker.start()
    }
    const { acknowledged: before } = fleet.counters()
    const restMs = Math.max(REST_MS_MIN, wantedMs - (performance.now() - beganAt))
    await sleep(restMs)
    const acknowledged = fleet.counters().acknowledged - before
    // The machine may have others to serve; but hardly any would be devices that wait for Kafka.
    if (acknowledged < (RATE * restMs) / 1000 / 4) {
      violations.push(`only ${acknowledged} readings were acknowledged in ${seconds(restMs)}`)
    }
    // Else nothing is shown.
    if (isBlocked(spec.kind) && (await cursorOf(agent)) > cursor) {
      violations.push('the outage lets records through')
    }
  } finally {
    await end()
  }
  const awayMs = performance.now() - beganAt
  const recoveryMs = await measureRecovery(agent)
  const limitMs = RECOVERY_MS_MAX[spec.kind]
  if (recoveryMs > limitMs) {
    violations.push(`recovered after ${seconds(recoveryMs)}, allowed are ${seconds(limitMs)}`)
  }
  return { awayMs, recoveryMs, violations }
}

export function nameOf({ kind, mode, killed, seed }: OutageCase): string {
  return `${kind}, ${mode}, ${killed} killed (seed ${seed})`
}

function isBlocked(kind: OutageKind): boolean {
  return kind !== 'slow' && kind !== 'flapping'
}

function broken({ mode, killed }: OutageCase, verdict: DeliveryVerdict): string[] {
  const found: string[] = []
  const { acknowledged, lost, reordered, duplicates, unreadable } = verdict
  if (acknowledged === 0) found.push('nothing was acknowledged')
  if (lost > 0) found.push(`${lost} lost: ${verdict.lostExamples.join(', ')}`)
  if (reordered > 0) found.push(`${reordered} reordered`)
  if (unreadable > 0) found.push(`${unreadable} unreadable`)
  // A killed agent may repeat the batch that was under way; nothing else repeats anything.
  const mayRepeat = mode === 'at_least_once' && killed === 'agent'
  if (duplicates > 0 && !mayRepeat) found.push(`${duplicates} duplicates`)
  return found
}

async function newTopic(stage: Stage): Promise<string> {
  const admin = testClient([stage.advertised]).admin()
  try {
    await admin.connect()
    const topic = uniqueTopic('outage')
    const topics = [{ topic, numPartitions: PARTITIONS, replicationFactor: 1 }]
    await admin.createTopics({ topics, waitForLeaders: true })
    return topic
  } finally {
    await admin.disconnect()
  }
}

function configOf(topic: string): string {
  return `
kafka: { create_topics: true }
logging: { level: info }
routes: [{ name: all, match: 'telemetry/{site}/{device}', topic: ${topic} }]
`
}

function newFleet(agent: TestAgent, seed: number): Fleet {
  return new Fleet({
    ...{ host: '127.0.0.1', port: agent.mqttPort, devices: DEVICES, rate: RATE, seed },
    ...{ site: SITE, faults: false, durationMs: 3_600_000 },
    ...{ backOffMsMin: 50, backOffMsMax: 300, drainMsMax: 30_000 }
  })
}

function ledgerOf(fleet: Fleet): Record<string, number> {
  const entries = Object.entries(fleet.ledger())
  return Object.fromEntries(entries.map(([device, last]) => [`${SITE}/${device}`, last]))
}

/** How far Kafka has the telemetry log; keeps its meaning across restarts of the agent. */
async function cursorOf(agent: TestAgent): Promise<number> {
  const { telemetry } = (await agent.status()).lanes
  return telemetry.log.end - telemetry.backlogRecords
}

async function untilCursor(agent: TestAgent, least: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while ((await cursorOf(agent)) < least) {
    if (performance.now() > deadline) throw new Error('nothing is delivered before the outage')
    await sleep(POLL_MS)
  }
}

async function measureRecovery(agent: TestAgent): Promise<number> {
  const returnedAt = performance.now()
  const before = await cursorOf(agent)
  for (;;) {
    const ms = performance.now() - returnedAt
    if ((await cursorOf(agent)) > before) return ms
    if (ms > PATIENCE_MS) return Number.POSITIVE_INFINITY
    await sleep(POLL_MS)
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the status page, as TestAgent gives it
function isDrained({ lanes }: any): boolean {
  return lanes.telemetry.backlogRecords === 0 && lanes.alerts.backlogRecords === 0
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-20).join('\n')
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
