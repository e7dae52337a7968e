import { topicPlanOf } from '../../agent/topic-plan.ts'
import { judge } from '../../agent/uplink/kafka-errors.ts'
import { wantedTopics } from '../../agent/uplink/kafka-topics.ts'
import { LANES } from '../../agent/uplink/lane-plan.ts'
import { TOPICS } from '../../core/contract/topics.ts'
import type { Producer } from '../../core/kafka/client.ts'
import {
  askForCoordinator,
  askForProducerId,
  describeCluster,
  type Operation,
  type TopicDescription,
  topicConfigs
} from '../../core/kafka/describe-cluster.ts'
import { pause, withDeadline } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { formatBytes, formatDuration } from '../../core/runtime/units.ts'
import type { FieldlineConfig } from '../config.ts'
import { type Probe, Trial } from './probe.ts'

/** A topic as the agent, and a central detector beside it, use it. */
interface NeededTopic {
  topic: string
  compacted: boolean
  needed: readonly Operation[]
  /** Readings wait when it is missing; without the others something else is not told. */
  vital: boolean
}

const CONFIG_NAMES = ['retention.ms', 'cleanup.policy', 'max.message.bytes', 'min.insync.replicas']
const ASK_PAUSE_MS = 200

export function neededTopics(config: FieldlineConfig): NeededTopic[] {
  const { detector, uplink } = config
  const central = detector.scope === 'central'
  const exactlyOnce = uplink.delivery === 'exactly_once'
  const needed = new Map<string, NeededTopic>()
  for (const { topic, compacted } of wantedTopics(topicPlanOf(config))) {
    if (topic === TOPICS.cursors && !exactlyOnce) continue
    if (topic === TOPICS.detectorState && !central) continue
    const read =
      topic === TOPICS.detectorState ? (['Read', 'Write'] as const) : (['Write'] as const)
    const operations = topic === TOPICS.cursors ? (['Read'] as const) : read
    needed.set(topic, { topic, compacted, needed: operations, vital: topic !== uplink.statusTopic })
  }
  for (const topic of central ? detector.topics : []) {
    const known = needed.get(topic)
    const operations = [...(known?.needed ?? []), 'Read' as const]
    needed.set(topic, { topic, compacted: false, needed: operations, vital: true })
  }
  return [...needed.values()]
}

/** Each topic that is known by name: there, led, as it should be kept, and open to this user. */
export async function tryTopics(
  config: FieldlineConfig,
  producer: Producer,
  deadlineAt: number
): Promise<Probe[]> {
  const wanted = neededTopics(config)
  const trials = wanted.map(({ topic }) => new Trial('topic', topic))
  try {
    const call = describeCluster(
      producer,
      wanted.map(({ topic }) => topic)
    )
    const { topics } = await withDeadline('the metadata', leftMs(deadlineAt), call)
    await Promise.all(
      wanted.map(async (need, index) => {
        const found = topics.find(({ topic }) => topic === need.topic)
        const there = judgeTopic(need, found, config, trials[index])
        if (there) await judgeConfigs(need, config, producer, trials[index], deadlineAt)
      })
    )
  } catch (error) {
    for (const trial of trials) trial.unknown(`not found out: ${messageOf(error)}`)
  }
  return trials.map(trial => trial.end())
}

/** @returns Whether the topic is there and may be described. */
function judgeTopic(
  { topic, needed, vital }: NeededTopic,
  found: TopicDescription | undefined,
  { kafka }: FieldlineConfig,
  trial: Trial
): boolean {
  if (!found || found.error === 'UNKNOWN_TOPIC_OR_PARTITION') {
    if (kafka.createTopics)
      trial.warn('does not exist; the agent would create it (kafka.create_topics)')
    else if (vital)
      trial.fail('does not exist: fieldline topics create, or set kafka.create_topics')
    else trial.warn('does not exist: fieldline topics create, or set kafka.create_topics')
    return false
  }
  if (found.error === 'TOPIC_AUTHORIZATION_FAILED') {
    trial.fail(
      `this user may not describe it, or it does not exist: grant Describe and ${needed.join(', ')} (fieldline topics create prints the ACLs)`
    )
    return false
  }
  if (found.error !== undefined && found.error !== 'LEADER_NOT_AVAILABLE') {
    trial.fail(`Kafka answers ${found.error}`)
    return false
  }
  const { partitions, replicasMin, leaderless, allowed } = found
  trial.fact(
    `${partitions} ${partitions === 1 ? 'partition' : 'partitions'}, ${replicasMin === 1 ? 'no replica' : `${replicasMin} replicas`}`
  )
  if (leaderless > 0) trial.fail(`${leaderless} partitions have no leader: is a broker down?`)
  if (allowed === undefined) {
    trial.unknown(`the broker does not tell whether this user may ${needed.join(' and ')}`)
    return true
  }
  const missing = needed.filter(operation => !allowed.has(operation))
  if (missing.length === 0) trial.fact(`may ${needed.join(', ').toLowerCase()}`)
  else
    trial.fail(
      `this user lacks the right ${missing.join(', ')} on topic ${topic}: kafka-acls --add`
    )
  return true
}

async function judgeConfigs(
  { topic, compacted }: NeededTopic,
  config: FieldlineConfig,
  producer: Producer,
  trial: Trial,
  deadlineAt: number
): Promise<void> {
  let values: Record<string, string>
  try {
    const call = topicConfigs(producer, topic, CONFIG_NAMES)
    values = await withDeadline('the configuration', leftMs(deadlineAt), call)
  } catch (error) {
    const { code } = judge(error)
    trial.fact(`how it is kept is not told (${code}; not needed to run)`)
    return
  }
  const policy = values['cleanup.policy'] ?? ''
  const compacts = policy.includes('compact')
  trial.fact(retentionText(policy, Number(values['retention.ms'])))
  if (compacted && !compacts) {
    trial.warn(
      'cleanup.policy should be compact: without it the last word of each key is lost with time'
    )
  }
  if (!compacted && compacts) {
    trial.warn('cleanup.policy is compact: of each device only the last record would be kept')
  }
  const bytesMax = Number(values['max.message.bytes'])
  const { mqtt, uplink } = config
  if (topic === uplink.alertTopic || compacted || !(bytesMax > 0)) return
  if (bytesMax < mqtt.packetBytesMax) {
    trial.warn(
      `max.message.bytes is ${formatBytes(bytesMax)}, mqtt.packet_bytes_max ${formatBytes(mqtt.packetBytesMax)}: larger messages become dead letters`
    )
  } else if (bytesMax < uplink.batchBytesMax) {
    trial.warn(
      `max.message.bytes is ${formatBytes(bytesMax)}, uplink.batch_bytes_max ${formatBytes(uplink.batchBytesMax)}: batches are cut to fit, after a refusal`
    )
  }
}

function retentionText(policy: string, retentionMs: number): string {
  if (!policy.includes('delete')) return 'compacted'
  const kept = retentionMs > 0 ? `kept ${formatDuration(retentionMs)}` : 'kept for ever'
  return policy.includes('compact') ? `compacted, ${kept}` : kept
}

/** What is not about one topic: being an idempotent producer, transactional ids, a detector's group. */
export async function tryRights(
  config: FieldlineConfig,
  producer: Producer,
  agentId: string | undefined,
  deadlineAt: number
): Promise<Probe[]> {
  const { delivery } = config.uplink
  const { scope, group } = config.detector
  const idempotent = new Trial('rights', 'idempotent producer')
  const trials = [idempotent]
  const right = 'IdempotentWrite on the cluster'
  if (await ask(idempotent, right, () => askForProducerId(producer), deadlineAt)) {
    idempotent.fact('allowed')
  }
  if (delivery === 'exactly_once') {
    const trial = new Trial('rights', `transactional ids fieldline.${agentId ?? 'AGENT'}.*`)
    trials.push(trial)
    const ids = LANES.map(lane => `fieldline.${agentId}.${lane}`)
    if (agentId !== undefined) await askFor('transaction', ids, trial, producer, deadlineAt)
    else trial.unknown('the agent has no name yet: give agent.id, so that rights can be granted')
  }
  if (scope === 'central') {
    const trial = new Trial('rights', `group ${group}`)
    trials.push(trial)
    await askFor('group', [group], trial, producer, deadlineAt)
  }
  return trials.map(trial => trial.end())
}

/** The topics that a cluster makes when it is first asked for a coordinator of the kind. */
const COORDINATOR_TOPICS = {
  transaction: '__transaction_state',
  group: '__consumer_offsets'
} as const
const RIGHTS = {
  transaction: 'Describe and Write on the transactional id',
  group: 'Describe and Read on the group'
} as const

async function askFor(
  kind: keyof typeof COORDINATOR_TOPICS,
  ids: readonly string[],
  trial: Trial,
  producer: Producer,
  deadlineAt: number
): Promise<void> {
  if (!(await topicExists(producer, COORDINATOR_TOPICS[kind], deadlineAt))) {
    trial.unknown(
      `not asked: this cluster has no ${COORDINATOR_TOPICS[kind]} yet, and would make it`
    )
    return
  }
  let granted = true
  for (const id of ids) {
    const call = () => askForCoordinator(producer, kind, id)
    granted = (await ask(trial, RIGHTS[kind], call, deadlineAt)) && granted
  }
  // To ask for more would fence the agent that runs, or join its group.
  if (granted) trial.fact('may describe; whether it may do more is not asked')
}

/** Asks until the answer is one (@returns whether it is yes): a young cluster, or one that moves a coordinator, needs a moment. */
async function ask(
  trial: Trial,
  right: string,
  call: () => Promise<unknown>,
  deadlineAt: number
): Promise<boolean> {
  for (;;) {
    try {
      await withDeadline('the request', leftMs(deadlineAt), call())
      return true
    } catch (error) {
      const { code, message } = judge(error)
      if (/COORDINATOR|LOAD_IN_PROGRESS/.test(code) && leftMs(deadlineAt) > 2 * ASK_PAUSE_MS) {
        await pause(ASK_PAUSE_MS)
        continue
      }
      if (!/AUTHORIZATION_FAILED/.test(code)) trial.unknown(`not found out: ${message} (${code})`)
      else if (!trial.failed) {
        trial.fail(`this user lacks the right ${right} (${code}): kafka-acls --add`)
      }
      return false
    }
  }
}

async function topicExists(
  producer: Producer,
  topic: string,
  deadlineAt: number
): Promise<boolean> {
  try {
    const call = describeCluster(producer, [topic])
    const { topics } = await withDeadline('the metadata', leftMs(deadlineAt), call)
    return topics.some(({ error }) => error !== 'UNKNOWN_TOPIC_OR_PARTITION')
  } catch {
    return false
  }
}

function leftMs(deadlineAt: number): number {
  return Math.max(1, Math.round(deadlineAt - performance.now()))
}
