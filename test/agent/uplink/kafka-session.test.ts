import { afterAll, beforeAll, describe } from 'vitest'
import { kafkajsDriver } from '../../../agent/uplink/kafka-session.ts'
import { missingKafka, testClient } from '../../kit/kafka.ts'
import { driverChecks } from './driver-checks.ts'
import { type FarKafka, startFarKafka } from './link-kit.ts'

const missing = await missingKafka()

let far: FarKafka
beforeAll(async () => {
  if (!missing) far = await startFarKafka()
})
afterAll(() => far?.remove())

describe.skipIf(missing)('kafkajs', () => {
  const driverOf = (brokers: string[]) =>
    kafkajsDriver({ kafka: () => testClient(brokers), compression: 'none' })
  driverChecks(driverOf, () => far)
})
