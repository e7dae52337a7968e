import { expect, test } from 'vitest'
import {
  createTopic,
  type OwnKafka,
  readTopic,
  startOwnKafka,
  testClient,
  uniqueTopic,
  useOwnKafka
} from '../../kit/kafka.ts'
import { deliveryOf, idsByKey, MODES, running, upTo, wholeIds } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

// Of kafkajs' enums (AclResourceTypes, …), which are Kafka's own numbers.
const TOPIC = { resourceType: 2, resourcePatternType: 3, principal: 'User:ANONYMOUS', host: '*' }
/** The client sees the topic, so that only the write itself is refused. */
const SEEN_NOT_WRITTEN = [
  { ...TOPIC, operation: 8, permissionType: 3 },
  { ...TOPIC, operation: 4, permissionType: 2 }
]
const ANY_ACL = { ...TOPIC, operation: 1, permissionType: 1 }

let own: OwnKafka
useOwnKafka(async () => {
  own = await startOwnKafka({
    properties: {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'allow.everyone.if.no.acl.found': 'true'
    }
  })
  return own
})

test.each(MODES)(
  '%s: a topic that may not be written parks the lane, which heals; no attempt repeats what other topics took',
  async mode => {
    const admin = testClient([own.address]).admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic: 'fieldline.cursors' }], waitForLeaders: true })
    const open = await createTopic(admin, uniqueTopic('open'))
    const forbidden = await createTopic(admin, uniqueTopic('forbidden'))
    await admin.createAcls({
      acl: SEEN_NOT_WRITTEN.map(acl => ({ ...acl, resourceName: forbidden }))
    })
    // The controller has them; the broker must have heard of them too.
    const known = async () => {
      const { resources } = await admin.describeAcls({ ...ANY_ACL, resourceName: forbidden })
      return resources.flatMap(({ acls }) => acls).length
    }
    await expect.poll(known).toBe(2)
    const { delivery, states } = deliveryOf(testClient([own.address]), mode, {
      transactionalId: open
    })
    await delivery.start(running)
    const records = [...recordsOf(open, 0, 10), ...recordsOf(forbidden, 0, 10)]
    const delivered = delivery.deliver(records, upTo(20), running)
    const parked = () => states.filter(({ kind }) => kind === 'parked')
    await expect.poll(() => parked().length, { timeout: 30_000 }).toBeGreaterThan(3)
    // In a transaction the client shows the refused topic's error or that of its neighbours.
    expect(parked()[0]).toMatchObject({
      code: expect.stringMatching(/^(TOPIC_AUTHORIZATION_FAILED|OPERATION_NOT_ATTEMPTED)$/)
    })
    // Tried one by one, the refused topic is known by name.
    await expect
      .poll(() => parked().at(-1), { timeout: 30_000 })
      .toMatchObject({ topic: forbidden })
    await admin.deleteAcls({ filters: [{ ...ANY_ACL, resourceName: forbidden }] })
    expect(await delivered).toBe(true)
    for (const topic of [open, forbidden]) {
      expect(idsByKey(await readTopic([own.address], topic, { until: 10 }))).toEqual(wholeIds(10))
    }
    await admin.disconnect()
  }
)
