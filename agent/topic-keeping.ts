import type { RouteConfig } from '../core/contract/route-config.ts'
import { kafkaFromConfig } from '../core/kafka/connection.ts'
import { pause } from '../core/runtime/deadline.ts'
import { messageOf } from '../core/runtime/errors.ts'
import type { Logger } from '../core/runtime/log.ts'
import type { AgentConfig } from './config.ts'
import { topicPlanOf } from './topic-plan.ts'
import { createTopics } from './uplink/kafka-topics.ts'
import type { LaneView } from './uplink/lane-view.ts'

const RETRY_MS = 1_000
const LOOK_MS = 2_000

export interface TopicKeepingOptions {
  /** A reload changes it. */
  configOf: () => AgentConfig
  lanesOf: () => readonly LaneView[]
  signal: AbortSignal
  logger: Logger
}

/**
 * Creates the topics (`kafka.create_topics`). Kafka may be away: tries until it is there, and again
 * when a topic turns out to be missing. Resolves when the signal aborts.
 */
export async function keepTopics(options: TopicKeepingOptions): Promise<void> {
  const { configOf, signal, logger } = options
  const kafka = kafkaFromConfig(configOf().kafka, 'topics', logger)
  while (!signal.aborted) {
    const config = configOf()
    try {
      for (const { topic } of await createTopics(kafka, topicPlanOf(config))) {
        logger.info({ event: 'kafka.topic_created', topic }, 'Created a topic.')
      }
      await untilNeeded(options, config.routes)
    } catch (error) {
      logger.debug({ event: 'kafka.topics_waiting', error: messageOf(error) }, 'No topics yet.')
      await pause(RETRY_MS, signal)
    }
  }
}

/**
 * Resolves when a lane waits for a topic, for example of a cluster that was set up anew, or when the
 * routes are others.
 */
async function untilNeeded(options: TopicKeepingOptions, routes: RouteConfig[]): Promise<void> {
  const { configOf, lanesOf, signal } = options
  const isMissing = ({ state }: LaneView) =>
    state.kind === 'parked' && state.code === 'UNKNOWN_TOPIC_OR_PARTITION'
  while (!signal.aborted && configOf().routes === routes && !lanesOf().some(isMissing)) {
    await pause(LOOK_MS, signal)
  }
}
