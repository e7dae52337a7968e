import type { KafkaConfig } from '../../core/kafka/config.ts'
import { credentialsChanged, kafkaFromConfig } from '../../core/kafka/connection.ts'
import { socketsOf } from '../../core/kafka/sockets.ts'
import { systemClock } from '../../core/runtime/clock.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { judge } from '../uplink/kafka-errors.ts'
import { StatusTopic, type WordWriter } from './status-topic.ts'

/** Everything the status topic's writer needs to know, as plain data. */
export interface StatusTopicPlan {
  topic: string
  kafka: KafkaConfig
}

const CLOSE_MS_MAX = 500
/** The leader's answer is enough: a word that is lost is followed by another. */
const ACKS_LEADER = 1

export function openStatusTopic({ topic, kafka }: StatusTopicPlan, logger: Logger): StatusTopic {
  return new StatusTopic({
    topic,
    open: () => openWriter(kafka, topic, logger),
    ...{ judge, clock: systemClock, logger }
  })
}

/** A producer without sequences or transactions: it holds nothing up, and nothing is held up by it. */
async function openWriter(config: KafkaConfig, topic: string, logger: Logger): Promise<WordWriter> {
  let session = await connect(config, logger)
  return {
    write: async (agentId, value) => {
      if (credentialsChanged(session.kafka)) {
        await session.close()
        session = await connect(config, logger)
      }
      const messages = [{ key: agentId, value }]
      await session.producer.send({ topic, acks: ACKS_LEADER, messages })
    },
    close: () => session.close()
  }
}

async function connect(config: KafkaConfig, logger: Logger) {
  // A client of its own: the troubles of its connections are nobody else's.
  const kafka = kafkaFromConfig(config, 'status', logger)
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  const close = async () => {
    await withDeadline('closing', CLOSE_MS_MAX, producer.disconnect()).catch(() => {})
    socketsOf(kafka).close()
  }
  try {
    await producer.connect()
  } catch (error) {
    await close()
    throw error
  }
  return { kafka, producer, close }
}
