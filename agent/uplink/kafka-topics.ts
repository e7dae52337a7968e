import { TOPICS } from '../../core/contract/topics.ts'
import type { ITopicConfig, Kafka } from '../../core/kafka/client.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'

export interface TopicPlan {
  /** Literal topics of routes; templated ones are known only when messages come. */
  telemetry: string[]
  deadLetters: string
  alerts: string
  /** null: agents tell the fleet nothing. */
  status: string | null
  partitions: number
  /** null: the brokers' default. */
  replicationFactor: number | null
}

/** A topic as Fieldline wants it. */
export interface WantedTopic {
  topic: string
  partitions: number
  compacted: boolean
  /** Beside the brokers' defaults. */
  entries?: readonly { name: string; value: string }[]
}

const BROKER_DEFAULT = -1
const ANSWER_MS_MAX = 30_000
/**
 * Whoever takes a partition over reads all of its state: what was written over must go soon. Kafka
 * compacts only what is no longer written to, and by default only when half of it can go.
 */
const STATE_ENTRIES = [
  { name: 'segment.bytes', value: String(32 << 20) },
  { name: 'min.cleanable.dirty.ratio', value: '0.2' }
]
/**
 * By the brokers' clock, as that of a box may be wrong, and it is to tell how old a last word is. Who
 * reads it reads all of it: what was written over goes within the hour.
 */
const STATUS_ENTRIES = [
  { name: 'message.timestamp.type', value: 'LogAppendTime' },
  { name: 'segment.ms', value: String(3_600_000) },
  { name: 'segment.bytes', value: String(8 << 20) },
  { name: 'min.cleanable.dirty.ratio', value: '0.2' }
]

/** Which topics an agent and its detector write, and how they are kept. */
export function wantedTopics(plan: TopicPlan): WantedTopic[] {
  const { partitions } = plan
  return [
    ...plan.telemetry.map(topic => ({ topic, partitions, compacted: false })),
    { topic: plan.deadLetters, partitions, compacted: false },
    { topic: plan.alerts, partitions, compacted: false },
    ...(plan.status === null ? [] : [statusTopic(plan.status)]),
    { topic: TOPICS.cursors, partitions: 1, compacted: false },
    { topic: TOPICS.detectorState, partitions, compacted: true, entries: STATE_ENTRIES }
  ]
}

/** One partition: a few hundred bytes an agent. */
function statusTopic(topic: string): WantedTopic {
  return { topic, partitions: 1, compacted: true, entries: STATUS_ENTRIES }
}

/**
 * Creates what is missing; changes nothing that is there.
 *
 * @returns The topics that were created. Rejects with the client's error when Kafka is away.
 */
export async function createTopics(kafka: Kafka, plan: TopicPlan): Promise<WantedTopic[]> {
  const admin = kafka.admin()
  try {
    await withDeadline('connecting', ANSWER_MS_MAX, admin.connect())
    const present = new Set(await withDeadline('listing topics', ANSWER_MS_MAX, admin.listTopics()))
    const missing = wantedTopics(plan).filter(({ topic }) => !present.has(topic))
    if (missing.length > 0) {
      const topics = missing.map(wanted => topicConfig(wanted, plan.replicationFactor))
      await withDeadline(
        'creating topics',
        ANSWER_MS_MAX,
        admin.createTopics({ topics, waitForLeaders: true })
      )
    }
    return missing
  } finally {
    await withDeadline('closing', 2_000, admin.disconnect()).catch(() => {})
  }
}

function topicConfig(wanted: WantedTopic, replicationFactor: number | null): ITopicConfig {
  return {
    topic: wanted.topic,
    numPartitions: wanted.partitions,
    replicationFactor: replicationFactor ?? BROKER_DEFAULT,
    configEntries: [
      ...(wanted.compacted ? [{ name: 'cleanup.policy', value: 'compact' }] : []),
      ...(wanted.entries ?? [])
    ]
  }
}

/** The ACLs that an agent's user needs, as arguments of Kafka's own `kafka-acls` tool. */
export function neededAcls(plan: TopicPlan, exactlyOnce: boolean, agentId: string): string[] {
  const written = [...plan.telemetry, plan.deadLetters, plan.alerts]
  const acls = written.map(topic => `--operation Write --operation Describe --topic ${topic}`)
  if (plan.status !== null) {
    acls.push(`--operation Write --operation Describe --topic ${plan.status}`)
  }
  acls.push('--operation IdempotentWrite --cluster')
  if (exactlyOnce) {
    const prefix = `fieldline.${agentId}.`
    const literal = '--resource-pattern-type prefixed'
    acls.push(`--operation Write --operation Describe ${literal} --transactional-id ${prefix}`)
    acls.push(`--operation Read ${literal} --group ${prefix}`)
    acls.push(`--operation Read --operation Describe --topic ${TOPICS.cursors}`)
  }
  return acls
}

/** What `fieldline dlq` needs beside an agent's, in the same form. */
export function deadLetterAcls({ deadLetters }: TopicPlan): string[] {
  const prefixed = '--resource-pattern-type prefixed'
  return [
    `--operation Read --operation Describe --topic ${deadLetters}`,
    `--operation Read --operation Describe ${prefixed} --group fieldline.dlq`,
    `--operation Write --operation Describe ${prefixed} --transactional-id fieldline.dlq`
  ]
}

/** What `fieldline fleet` needs, in the same form; `--forget` alone writes. */
export function fleetAcls({ status }: TopicPlan): string[] {
  if (status === null) return []
  return [`--operation Read --operation Write --operation Describe --topic ${status}`]
}

/** The ACLs that the user of a central detector needs, in the same form. */
export function detectorAcls(plan: TopicPlan, group: string, topics: readonly string[]): string[] {
  const prefixed = '--resource-pattern-type prefixed'
  const both = '--operation Read --operation Describe'
  const written = [plan.alerts, plan.deadLetters]
  return [
    ...topics.map(topic => `${both} --topic ${topic}`),
    ...(plan.status === null ? [] : [`${both} --topic ${plan.status}`]),
    ...written.map(topic => `--operation Write --operation Describe --topic ${topic}`),
    `--operation Read --operation Write --operation Describe --topic ${TOPICS.detectorState}`,
    `${both} --group ${group}`,
    `--operation Write --operation Describe ${prefixed} --transactional-id ${group}/`,
    '--operation IdempotentWrite --cluster'
  ]
}
