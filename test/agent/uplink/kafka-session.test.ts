import { describe } from 'vitest'
import { kafkajsDriver } from '../../../agent/uplink/kafka-session.ts'
import { testClient, useOwnKafka } from '../../kit/kafka.ts'
import { driverChecks } from './driver-checks.ts'
import { type FarKafka, startFarKafka } from './link-kit.ts'

let far: FarKafka
useOwnKafka(async () => {
  far = await startFarKafka()
  return far
})

describe('kafkajs', () => {
  const driverOf = (brokers: string[]) =>
    kafkajsDriver({ kafka: () => testClient(brokers), compression: 'none' })
  driverChecks(driverOf, () => far)
})
