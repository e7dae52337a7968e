import { Command } from 'commander'
import { topicPlanOf } from '../../agent/topic-plan.ts'
import {
  createTopics,
  deadLetterAcls,
  detectorAcls,
  fleetAcls,
  neededAcls,
  wantedTopics
} from '../../agent/uplink/kafka-topics.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { type FieldlineConfig, loadFieldlineConfig } from '../config.ts'
import { checkBrokersResolve } from '../preflight.ts'

const EXAMPLES = `
Examples:
  $ fieldline topics create --kafka localhost:9092
  $ fieldline topics create -c fieldline.yaml --id gateway-7
`

/** `fieldline topics create`: what agent and detector need in Kafka. */
export function topicsCommand(): Command {
  const topics = new Command('topics')
    .description("Fieldline's Kafka topics")
    .addHelpText('after', EXAMPLES)
  topics
    .command('create')
    .description('create the topics that are missing, and print the ACLs that an agent needs')
    .option('-c, --config <file>', 'YAML configuration')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--id <name>', 'name of the agent, for its ACLs')
    .option('--json', 'print one JSON object')
    .addHelpText('after', EXAMPLES)
    .action(create)
  return topics
}

interface CreateFlags {
  config?: string
  kafka?: string
  id?: string
  json?: boolean
}

async function create(flags: CreateFlags): Promise<void> {
  const { config: file, json, ...overrides } = flags
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
  const topics = wantedTopics(plan).map(({ topic, partitions, compacted }) => ({
    ...{ topic, partitions, compacted },
    created: isNew.has(topic)
  }))
  const acls = aclsOf(config, plan)
  process.stdout.write(json ? `${JSON.stringify({ topics, acls })}\n` : createdText(topics, acls))
}

interface CreatedTopic {
  topic: string
  partitions: number
  compacted: boolean
  created: boolean
}

/** By who needs them. */
interface Acls {
  agent: string[]
  dlq: string[]
  fleet: string[]
  detector?: string[]
}

function aclsOf(config: FieldlineConfig, plan: ReturnType<typeof topicPlanOf>): Acls {
  const { scope, group, topics } = config.detector
  const agentId = config.agent.id ?? 'AGENT'
  return {
    agent: neededAcls(plan, config.uplink.delivery === 'exactly_once', agentId),
    dlq: deadLetterAcls(plan),
    fleet: fleetAcls(plan),
    ...(scope === 'central' ? { detector: detectorAcls(plan, group, topics) } : {})
  }
}

function createdText(topics: readonly CreatedTopic[], acls: Acls): string {
  const lines = topics.map(({ topic, partitions, compacted, created }) =>
    created
      ? `created  ${topic} (${partitions} partitions${compacted ? ', compacted' : ''})`
      : `present  ${topic}`
  )
  const tell = (title: string, needed: readonly string[] = []): void => {
    if (needed.length > 0) lines.push('', title, ...needed.map(acl => `  ${acl}`))
  }
  tell('ACLs of an agent, for kafka-acls --add --allow-principal User:NAME:', acls.agent)
  tell("ACLs of 'fieldline dlq', beside those of an agent:", acls.dlq)
  tell("ACLs of 'fieldline fleet' (Write for --forget alone):", acls.fleet)
  tell('ACLs of a central detector:', acls.detector)
  return `${lines.join('\n')}\n`
}
