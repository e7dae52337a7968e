import { formatAddress } from '../../core/runtime/address.ts'
import { listenersIn, lookAtListeners } from '../check/listeners.ts'
import type { FieldlineConfig } from '../config.ts'
import { type Probe, Trial } from './probe.ts'
import { agentIdOf, tryData } from './try-data.ts'
import { tryKafka } from './try-kafka.ts'
import { tryUpstream } from './try-upstream.ts'
import { tryWebhook } from './try-webhook.ts'

export interface DryRun {
  probes: Probe[]
  /** What the agent would do, a sentence each. */
  wouldHappen: string[]
  /** What this could not find out. */
  notTried: string[]
}

/**
 * Opens every connection that an agent with this configuration would, all at once, and says what
 * would happen. Nothing is written, taken over or acknowledged: it may run beside the agent.
 *
 * @param timeoutMs Of all connections together.
 */
export async function dryRun(config: FieldlineConfig, timeoutMs: number): Promise<DryRun> {
  const deadlineAt = performance.now() + timeoutMs
  const { data, id } = config.agent
  const found = await Promise.all([
    tryListeners(config),
    Promise.all(config.upstreams.map((each, index) => tryUpstream(each, index, deadlineAt))),
    tryKafka(config, agentIdOf(id, data), deadlineAt),
    Promise.all(config.alerts.webhooks.map((each, index) => tryWebhook(each, index, deadlineAt))),
    tryData(data).then(probe => [probe])
  ])
  return { probes: found.flat(), wouldHappen: wouldHappen(config), notTried: notTried(config) }
}

async function tryListeners(config: FieldlineConfig): Promise<Probe[]> {
  const places = (['mqtt', 'http'] as const).flatMap(section =>
    listenersIn(config[section], [section])
  )
  const startedAt = performance.now()
  const states = await lookAtListeners(places, config.agent.data)
  const ms = Math.round(performance.now() - startedAt)
  return places.map((place, index) => {
    const state = states[index]
    const part = place.path[0] === 'http' ? 'http' : 'mqtt'
    const trial = new Trial(part, formatAddress(place.address), place.path)
    if (state.kind === 'free') trial.fact('could be opened, and was closed again')
    else if (state.kind === 'ours') trial.fact('in use by the running agent')
    else if (state.kind === 'same') trial.fail('two listeners are to be on this address')
    else trial.fail(state.message)
    return { ...trial.end(), ms }
  })
}

function wouldHappen(config: FieldlineConfig): string[] {
  const { mqtt, upstreams, routes, uplink, detector, alerts } = config
  const sources = [
    ...listenersIn(mqtt, ['mqtt']).map(({ address }) => `devices at ${formatAddress(address)}`),
    ...upstreams.map(({ name, topics }) => `upstream ${name} (${topics.join(', ')})`)
  ]
  const leading = routes.filter(({ drop }) => !drop)
  const dropped = routes.length - leading.length
  const topics = [...new Set(leading.map(({ topic }) => topic))]
  const lines = [
    sources.length > 0
      ? `readings come from ${sources.join('; ')}`
      : 'no readings come: neither a listener nor an upstream is configured',
    `${leading.length === 1 ? '1 route leads' : `${leading.length} routes lead`} to ${topics.join(', ')}${dropped > 0 ? `; ${dropped} throw away` : ''}; what no route matches goes to ${uplink.deadLetterTopic}`,
    `delivery is ${uplink.delivery.replaceAll('_', ' ')}, compression ${uplink.compression}`
  ]
  if (detector.enabled && detector.scope === 'edge') {
    const sinks = [
      uplink.alertTopic,
      ...(alerts.local && mqtt.listen ? ['local subscribers of alerts/#'] : []),
      ...alerts.upstreams.map(name => `upstream ${name}`),
      ...alerts.webhooks.map(({ name }) => `webhook ${name}`)
    ]
    lines.push(
      `anomalies are looked for here (${detector.scorer}); alerts go to ${sinks.join(', ')}`
    )
  } else lines.push('anomalies are not looked for by this agent')
  return lines
}

function notTried({ routes, alerts, upstreams }: FieldlineConfig): string[] {
  const templated = routes.filter(({ drop, topic }) => !drop && topic.includes('{'))
  return [
    ...templated.map(
      ({ name, topic }) => `the topics of route ${name} (${topic}): known only when messages come`
    ),
    ...(alerts.webhooks.length > 0
      ? ['whether webhooks take an alert: a request would be one']
      : []),
    ...(upstreams.length > 0
      ? ['whether an upstream accepts the real client id: its session would be taken over']
      : [])
  ]
}
