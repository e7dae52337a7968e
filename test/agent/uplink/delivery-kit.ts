import path from 'node:path'
import { onTestFinished } from 'vitest'
import { AtLeastOnceDelivery } from '../../../agent/uplink/at-least-once.ts'
import type { Delivery, LaneState } from '../../../agent/uplink/delivery.ts'
import type { Driver } from '../../../agent/uplink/driver.ts'
import { ExactlyOnceDelivery } from '../../../agent/uplink/exactly-once.ts'
import { kafkajsDriver } from '../../../agent/uplink/kafka-session.ts'
import { ProgressFile } from '../../../agent/uplink/progress-file.ts'
import type { Kafka } from '../../../core/kafka/client.ts'
import { nodeDisk } from '../../../core/log/node-disk.ts'
import type { Cursor } from '../../../core/log/reader.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import type { TopicRecord } from '../../kit/kafka.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

export const MODES = ['at_least_once', 'exactly_once'] as const
export type Mode = (typeof MODES)[number]

export const EPOCH = '1-00000000000000ff'
export const upTo = (offset: number): Cursor => ({ epoch: EPOCH, offset })
/** Of a stop that never comes. */
export const running = new AbortController().signal

export interface DeliveryUnderTest {
  delivery: Delivery
  states: LaneState[]
  deadLetters: string[]
}

interface Options {
  deadLetterTopic?: string
  transactionalId?: string
  onState?: (state: LaneState) => void
}

/** A delivery of its own producer. Closed when the test ends. */
export function deliveryOf(
  kafka: Kafka | (() => Kafka),
  mode: Mode,
  options: Options = {}
): DeliveryUnderTest {
  const make = typeof kafka === 'function' ? kafka : () => kafka
  return deliveryOver(kafkajsDriver({ kafka: make, compression: 'none' }), mode, options)
}

export function deliveryOver(driver: Driver, mode: Mode, options: Options): DeliveryUnderTest {
  const states: LaneState[] = []
  const deadLetters: string[] = []
  const common = {
    lane: 'telemetry',
    driver,
    deadLetterTopic: options.deadLetterTopic ?? 'no-dead-letters',
    onDeadLetter: (reason: string) => void deadLetters.push(reason),
    onState: (state: LaneState) => {
      states.push(state)
      options.onState?.(state)
    },
    batchBytesMax: 1_000_000,
    batchRecordsMax: 4_000,
    logger: silentLogger,
    seed: 1
  }
  const delivery =
    mode === 'at_least_once'
      ? new AtLeastOnceDelivery({ ...common, progress: newProgress() })
      : new ExactlyOnceDelivery({ ...common, transactionalId: options.transactionalId ?? '' })
  onTestFinished(() => delivery.close())
  return { delivery, states, deadLetters }
}

function newProgress(): ProgressFile {
  return new ProgressFile(nodeDisk, path.join(temporaryDirectory(), 'progress'), silentLogger)
}

/** The `fl-id`s of each key, in Kafka's order. */
export function idsByKey(records: TopicRecord[]): Record<string, number[]> {
  const ids: Record<string, number[]> = {}
  for (const { key, headers } of records) {
    ids[key ?? ''] ??= []
    ids[key ?? ''].push(Number(headers['fl-id']))
  }
  return ids
}

/** What `recordsOf(topic, 0, end)` gives, each once and in order. */
export function wholeIds(end: number): Record<string, number[]> {
  const all = Array.from({ length: end }, (_, n) => n)
  const keys = [0, 1, 2, 3, 4, 5, 6].map(device => [
    `site/device-${device}`,
    all.filter(n => n % 7 === device)
  ])
  return Object.fromEntries(keys)
}
