import { judge } from '../../agent/uplink/kafka-errors.ts'
import { AgentTable } from '../../core/contract/agent-table.ts'
import type { Kafka } from '../../core/kafka/client.ts'
import { TopicReader } from '../../core/kafka/topic-reader.ts'
import { withDeadline } from '../../core/runtime/deadline.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'

const WRITE_MS_MAX = 30_000
const CLOSE_MS_MAX = 2_000

/**
 * The fleet as the status topic tells it, and what it has told since when asked again. Opened anew
 * after an error; what is known is kept.
 */
export class FleetReader {
  readonly table = new AgentTable()
  readonly #kafka: () => Kafka
  readonly #topic: string
  #reader: TopicReader | undefined
  /** Read once to its end: what comes now has just been said. */
  #isLive = false

  /** @param kafka A client for each connection. */
  constructor(kafka: () => Kafka, topic: string) {
    this.#kafka = kafka
    this.#topic = topic
  }

  /** @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED. */
  async read(): Promise<void> {
    try {
      this.#reader ??= await TopicReader.open(this.#kafka(), this.#topic)
      await this.#reader.read(message => {
        const now = Date.now()
        // By the brokers' clock; in a topic that was made by hand perhaps by the agent's.
        const heardAt = this.#isLive ? now : Math.min(now, Number(message.timestamp))
        this.table.take(message, heardAt)
      })
      this.#isLive = true
    } catch (error) {
      await this.close()
      this.#isLive = false
      throw faultOf(error, this.#topic)
    }
  }

  async close(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await reader?.close()
  }
}

/**
 * Takes an agent out of the fleet: a record without a value under its key.
 *
 * @throws {OperationalError} KAFKA_UNREACHABLE or KAFKA_REFUSED.
 */
export async function forgetAgent(kafka: Kafka, topic: string, agentId: string): Promise<void> {
  const producer = kafka.producer({ allowAutoTopicCreation: false })
  try {
    await withDeadline('connecting', WRITE_MS_MAX, producer.connect())
    const messages = [{ key: agentId, value: null }]
    await withDeadline('writing', WRITE_MS_MAX, producer.send({ topic, acks: -1, messages }))
  } catch (error) {
    throw faultOf(error, topic)
  } finally {
    await withDeadline('closing', CLOSE_MS_MAX, producer.disconnect()).catch(() => {})
  }
}

function faultOf(error: unknown, topic: string): OperationalError {
  const { action, code } = judge(error)
  const refused = action !== 'retry' && action !== 'renew'
  if (!refused) {
    const message = `Kafka does not answer about '${topic}': ${messageOf(error)}`
    return new OperationalError('KAFKA_UNREACHABLE', message, { cause: error })
  }
  const advice =
    code === 'UNKNOWN_TOPIC_OR_PARTITION'
      ? "There is no such topic: 'fieldline topics create' makes it; agents write to the one that their uplink.status_topic names."
      : "'fieldline topics create' prints the rights that are needed."
  const message = `Kafka refuses the status topic '${topic}': ${messageOf(error)}. ${advice}`
  return new OperationalError('KAFKA_REFUSED', message, { cause: error })
}
