import { expect } from 'vitest'
import type { LaneState } from '../../../agent/uplink/delivery.ts'
import type { KafkaConfig } from '../../../core/kafka/config.ts'
import { kafkaFromConfig } from '../../../core/kafka/connection.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import { createTopic, readTopic, uniqueTopic } from '../../kit/kafka.ts'
import { type SecureKafka, USER } from '../../kit/secure-kafka.ts'
import { deliveryOf, idsByKey, type Mode, running, upTo, wholeIds } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

// Of kafkajs' enums (AclResourceTypes, …), which are Kafka's own numbers.
const ACL = { principal: `User:${USER}`, host: '*', permissionType: 3 }
export const RESOURCE = { topic: 2, group: 3, cluster: 4, transactionalId: 5 }
export const OPERATION = { read: 3, write: 4, describe: 8, idempotentWrite: 12 }

export interface Right {
  resource: keyof typeof RESOURCE
  name: string
  operation: keyof typeof OPERATION
}

const CURSORS = 'fieldline.cursors'

/** What an agent's user needs, for one topic and one lane: as `neededAcls` prints it. */
export function rightsFor(topic: string, transactionalId: string): Right[] {
  return [
    { resource: 'topic', name: topic, operation: 'write' },
    { resource: 'topic', name: topic, operation: 'describe' },
    { resource: 'cluster', name: 'kafka-cluster', operation: 'idempotentWrite' },
    { resource: 'transactionalId', name: transactionalId, operation: 'write' },
    { resource: 'transactionalId', name: transactionalId, operation: 'describe' },
    { resource: 'group', name: transactionalId, operation: 'read' },
    { resource: 'topic', name: CURSORS, operation: 'read' },
    { resource: 'topic', name: CURSORS, operation: 'describe' }
  ]
}

const aclOf = ({ resource, name, operation }: Right) => ({
  ...ACL,
  resourceType: RESOURCE[resource],
  resourceName: name,
  resourcePatternType: 3,
  operation: OPERATION[operation]
})

export async function grant({ admin }: SecureKafka, rights: Right[]): Promise<void> {
  await admin.createAcls({ acl: rights.map(aclOf) })
}

export async function revoke({ admin }: SecureKafka, rights: Right[]): Promise<void> {
  await admin.deleteAcls({ filters: rights.map(aclOf) })
}

/** A topic, and all rights to it. @returns Its name, which is the transactional id too. */
export async function grantedTopic(own: SecureKafka, prefix: string): Promise<string> {
  await own.admin.createTopics({ topics: [{ topic: CURSORS }], waitForLeaders: true })
  const topic = await createTopic(own.admin, uniqueTopic(prefix))
  await grant(own, rightsFor(topic, topic))
  return topic
}

export interface Trouble {
  code: string | RegExp
  message?: RegExp
  topic?: string
  kind?: LaneState['kind']
}

export interface SecureLane {
  readonly states: LaneState[]
  /** Clients made so far: one a session, and one a trial login. */
  readonly sessions: number
  /** Begins to deliver the next ten records. */
  deliver(): Promise<boolean>
  /** Waits until the lane says so, from now on. */
  shows(trouble: Trouble, timeoutMs?: number): Promise<void>
  /** All records begun so far are in Kafka, each once and in order. */
  isWhole(): Promise<void>
}

export async function startLane(
  own: SecureKafka,
  mode: Mode,
  config: KafkaConfig,
  topic: string
): Promise<SecureLane> {
  let sessions = 0
  const { delivery, states } = deliveryOf(
    () => {
      sessions++
      return kafkaFromConfig(config, 'telemetry', silentLogger, 0)
    },
    mode,
    { transactionalId: topic }
  )
  let started: Promise<unknown> | undefined
  let end = 0
  return {
    states,
    get sessions() {
      return sessions
    },
    async deliver() {
      started ??= delivery.start(running)
      const first = end
      end += 10
      const cursor = upTo(end)
      const records = recordsOf(topic, first, end)
      await started
      return delivery.deliver(records, cursor, running)
    },
    async shows({ code, message, topic: named, kind = 'parked' }, timeoutMs = 40_000) {
      const from = states.length
      const found = () => states.slice(from).find(state => state.kind === kind)
      await expect.poll(found, { timeout: timeoutMs }).toBeDefined()
      expect(states.slice(from).find(state => state.kind === kind)).toMatchObject({
        code: typeof code === 'string' ? code : expect.stringMatching(code),
        message: message ? expect.stringMatching(message) : expect.any(String),
        ...(named ? { topic: named } : {})
      })
    },
    async isWhole() {
      const records = await readTopic(own.internal, topic, { until: end })
      expect(idsByKey(records)).toEqual(wholeIds(end))
      expect(states.at(-1)).toEqual({ kind: 'streaming' })
    }
  }
}
