import { Command } from 'commander'
import { topicPlanOf } from '../../agent/agent.ts'
import {
  createTopics,
  deadLetterAcls,
  detectorAcls,
  neededAcls,
  wantedTopics
} from '../../agent/uplink/kafka-topics.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { loadFieldlineConfig } from '../config.ts'
import { checkBrokersResolve } from '../preflight.ts'

const EXAMPLES = `
Examples:
  $ fieldline topics create --kafka localhost:9092
  $ fieldline topics create -c fieldline.yaml --id gateway-7
`

/** `fieldline topics create`: what agent and detector need in Kafka. */
export function topicsCommand(): Command {
  const topics = new Command('topics').description("Fieldline's Kafka topics")
  topics
    .command('create')
    .description('create the topics that are missing, and print the ACLs that an agent needs')
    .option('-c, --config <file>', 'YAML configuration')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--id <name>', 'name of the agent, for its ACLs')
    .addHelpText('after', EXAMPLES)
    .action(create)
  return topics
}

async function create(flags: { config?: string; kafka?: string; id?: string }): Promise<void> {
  const { config: file, ...overrides } = flags
  const { config } = await loadFieldlineConfig({ ...(file ? { file } : {}), overrides })
  await checkBrokersResolve(config.kafka.brokers)
  const logger = createLogger(config.logging.level)
  const plan = topicPlanOf(config)
  const kafka = kafkaFromConfig(config.kafka, 'topics', logger)
  const created = await createTopics(kafka, plan).catch(error => {
    throw new OperationalError(
      'KAFKA_UNREACHABLE',
      `Kafka at ${config.kafka.brokers.join(', ')} did not create the topics: ${messageOf(error)}`,
      { cause: error }
    )
  })
  const isNew = new Set(created.map(({ topic }) => topic))
  const lines = wantedTopics(plan).map(({ topic, partitions, compacted }) => {
    const kind = compacted ? ', compacted' : ''
    return isNew.has(topic)
      ? `created  ${topic} (${partitions} partitions${kind})`
      : `present  ${topic}`
  })
  const agentId = config.agent.id ?? 'AGENT'
  const acls = neededAcls(plan, config.uplink.delivery === 'exactly_once', agentId)
  lines.push('', 'ACLs of an agent, for kafka-acls --add --allow-principal User:NAME:')
  lines.push(...acls.map(acl => `  ${acl}`))
  lines.push('', "ACLs of 'fieldline dlq', beside those of an agent:")
  lines.push(...deadLetterAcls(plan).map(acl => `  ${acl}`))
  const { scope, group, topics } = config.detector
  if (scope === 'central') {
    lines.push('', 'ACLs of a central detector:')
    lines.push(...detectorAcls(plan, group, topics).map(acl => `  ${acl}`))
  }
  process.stdout.write(`${lines.join('\n')}\n`)
}
