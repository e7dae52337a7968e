import type { AgentConfig } from './config.ts'

/** What topics a configuration needs; those of a template have their names from devices. */
export function topicPlanOf(config: Pick<AgentConfig, 'routes' | 'uplink' | 'kafka'>) {
  const leading = config.routes.filter(route => !route.drop)
  const literal = leading.map(route => route.topic).filter(topic => !topic.includes('{'))
  return {
    telemetry: [...new Set(literal)],
    deadLetters: config.uplink.deadLetterTopic,
    alerts: config.uplink.alertTopic,
    status: config.uplink.statusTopic,
    partitions: config.kafka.partitions,
    replicationFactor: config.kafka.replicationFactor
  }
}
