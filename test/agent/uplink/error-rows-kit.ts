import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import type { LaneState } from '../../../agent/uplink/delivery.ts'
import { SHORT_JVM_OPTIONS } from '../../../cli/local-kafka-java.ts'
import { javaCommand, kafkaJars } from '../../../cli/local-kafka-tools.ts'
import type { Admin } from '../../../core/kafka/client.ts'
import { createTopic, readTopic, uniqueTopic } from '../../kit/kafka.ts'
import {
  type DeliveryUnderTest,
  deliveryOf,
  idsByKey,
  type Mode,
  running,
  upTo,
  wholeIds
} from './delivery-kit.ts'
import { recordsOf } from './records.ts'

/** Why a lane waited, in the order of its telling, each once in a row. */
export function troubles(states: readonly LaneState[]): string[] {
  const told = states.flatMap(state => ('code' in state ? [`${state.kind} ${state.code}`] : []))
  return told.filter((trouble, n) => trouble !== told[n - 1])
}

/** A topic, its name also the transactional id, and a delivery that has begun. */
export interface Row extends DeliveryUnderTest {
  topic: string
  /** Delivers `recordsOf` from where the last call ended. Resolves once it is done. */
  send(count: number): Promise<void>
  /** Every record sent so far is in the topic, once, in order. */
  expectWhole(): Promise<void>
  /** Resolves with the state once the lane tells this trouble. */
  told(code: string): Promise<LaneState>
}

export async function rowOf(
  admin: Admin,
  brokers: string[],
  mode: Mode,
  {
    kafka,
    topicOptions = {},
    ...options
  }: NonNullable<Parameters<typeof deliveryOf>[2]> & {
    kafka: Parameters<typeof deliveryOf>[0]
    topicOptions?: Parameters<typeof createTopic>[2]
  }
): Promise<Row> {
  const topic = await createTopic(admin, uniqueTopic('row'), { numPartitions: 3, ...topicOptions })
  const under = deliveryOf(kafka, mode, { transactionalId: topic, ...options })
  await under.delivery.start(running)
  // A young broker may still have had to make its own topics.
  under.states.length = 0
  let sent = 0
  return {
    ...under,
    topic,
    async send(count) {
      const first = sent
      sent += count
      const records = recordsOf(topic, first, sent)
      expect(await under.delivery.deliver(records, upTo(sent), running)).toBe(true)
    },
    async expectWhole() {
      expect(idsByKey(await readTopic(brokers, topic, { until: sent }))).toEqual(wholeIds(sent))
    },
    told: code => told(under.states, code)
  }
}

/** Polls: states are collected, nobody waits for them. */
async function told(states: readonly LaneState[], code: string): Promise<LaneState> {
  const found = () => states.find(state => 'code' in state && state.code === code)
  await expect.poll(found, { timeout: 40_000 }).toBeDefined()
  return found() as LaneState
}

/** One of Kafka's own command line programs; costs about 2 s. @returns What it printed. */
export async function kafkaTool(main: string, ...args: string[]): Promise<string> {
  const jars = ['-cp', join(await kafkaJars(), '*')]
  const run = promisify(execFile)
  return (await run(javaCommand(), [...SHORT_JVM_OPTIONS, ...jars, main, ...args])).stdout
}
