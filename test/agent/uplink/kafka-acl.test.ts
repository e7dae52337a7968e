import { expect, test } from 'vitest'
import { useOwnKafka } from '../../kit/kafka.ts'
import { type SecureKafka, startSecureKafka } from '../../kit/secure-kafka.ts'
import { MODES, type Mode } from './delivery-kit.ts'
import { grant, grantedTopic, type Right, revoke, startLane, type Trouble } from './secure-lane.ts'

/** Rights taken away and given back while a lane runs: it parks, says what it lacks, and goes on. */

let own: SecureKafka
useOwnKafka(async () => {
  own = await startSecureKafka()
  return own
})

async function losesAndRegains(
  mode: Mode,
  rightsOf: (topic: string) => Right[],
  troubleOf: (topic: string) => Trouble,
  delivered = 1
): Promise<void> {
  const topic = await grantedTopic(own, 'acl')
  const lane = await startLane(own, mode, own.config(), topic)
  for (let n = 0; n < delivered; n++) expect(await lane.deliver()).toBe(true)
  await revoke(own, rightsOf(topic))
  const parked = lane.deliver()
  await lane.shows(troubleOf(topic))
  await grant(own, rightsOf(topic))
  expect(await parked).toBe(true)
  expect(await lane.deliver()).toBe(true)
  await lane.isWhole()
}

const TOPIC_WRITE = (name: string): Right[] => [{ resource: 'topic', name, operation: 'write' }]

test.each(MODES)('%s: the right to write a topic, taken away and given back', async mode => {
  await losesAndRegains(mode, TOPIC_WRITE, topic => ({ code: 'TOPIC_AUTHORIZATION_FAILED', topic }))
})

test.each(MODES)('%s: every right to a topic, so that it cannot even be seen', async mode => {
  await losesAndRegains(
    mode,
    name => [...TOPIC_WRITE(name), { resource: 'topic', name, operation: 'describe' }],
    topic => ({ code: 'TOPIC_AUTHORIZATION_FAILED', topic })
  )
})

test('the right to the transactional id, taken away and given back', async () => {
  const right = (name: string): Right[] => [
    { resource: 'transactionalId', name, operation: 'write' }
  ]
  await losesAndRegains('exactly_once', right, () => ({
    code: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED'
  }))
})

test("the right to the cursor's group, taken away and given back", async () => {
  const right = (name: string): Right[] => [{ resource: 'group', name, operation: 'read' }]
  await losesAndRegains('exactly_once', right, () => ({ code: 'GROUP_AUTHORIZATION_FAILED' }))
})

test("the right to the cursors' topic, taken away and given back", async () => {
  const right = (): Right[] => [{ resource: 'topic', name: 'fieldline.cursors', operation: 'read' }]
  await losesAndRegains('exactly_once', right, () => ({ code: 'TOPIC_AUTHORIZATION_FAILED' }))
})

test('an idempotent producer is refused for want of any right to write, and is taken with one', async () => {
  const topic = await grantedTopic(own, 'idempotent')
  const cluster: Right[] = [
    { resource: 'cluster', name: 'kafka-cluster', operation: 'idempotentWrite' }
  ]
  // The right to write any topic is enough to be an idempotent producer: both must go.
  const all = [...cluster, ...(await topicsWritten())]
  await revoke(own, all)
  const lane = await startLane(own, 'at_least_once', own.config(), topic)
  const delivered = lane.deliver()
  await lane.shows({ code: 'CLUSTER_AUTHORIZATION_FAILED' })
  await grant(own, all)
  expect(await delivered).toBe(true)
  await lane.isWhole()
})

async function topicsWritten(): Promise<Right[]> {
  const { resources } = await own.admin.describeAcls({
    ...{ resourceType: 2, resourcePatternType: 1, operation: 4, permissionType: 1 }
  })
  return resources.map(({ resourceName }) => TOPIC_WRITE(resourceName)[0])
}
