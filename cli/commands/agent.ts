import path from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { Agent } from '../../agent/agent.ts'
import { listenersOf } from '../../agent/ingest/broker/config.ts'
import { FIXED } from '../../agent/ingest/broker/embedded-broker.ts'
import { formatAddress } from '../../core/runtime/address.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { HttpServer, json } from '../../core/runtime/http.ts'
import { RunSignals } from '../../core/runtime/lifecycle.ts'
import { createLogger, type Logger } from '../../core/runtime/log.ts'
import type { Metrics } from '../../core/runtime/metrics.ts'
import { packageVersion } from '../../core/runtime/package-root.ts'
import { Supervisor } from '../../core/runtime/sd-notify.ts'
import { letYoungSpacesGrow } from '../agent-heap.ts'
import { type ConfigFlags, type FieldlineConfig, loadFieldlineConfig } from '../config.ts'
import { type Devices, openDevices } from '../devices/open-devices.ts'
import { devicesPage } from '../devices/page.ts'
import type { EdgeDetection } from '../edge/edge-detection.ts'
import { checkAddressesFree, checkBrokersResolve } from '../preflight.ts'
import { RELEASED_AT } from '../released-at.ts'
import type { ConfigChange, ReloadableParts } from '../reload/config-changes.ts'
import { Reloading } from '../reload/reloading.ts'

/** What the broker cannot exchange; and whether there is a detector at all decides what else is started. */
const RELOADABLE: ReloadableParts = {
  // The broker may still refuse what it is given: before anything else is changed.
  sections: [['mqtt'], ['logging'], ['alerts'], ['routes'], ['detector']],
  except: [
    ...Object.values(FIXED).map(path => path.split('.')),
    ['detector', 'enabled'],
    ['detector', 'scope']
  ]
}

/** Of a stop, beyond what is drained: closing logs, saving what was learned. */
const STOP_SLACK_MS = 30_000

const EXAMPLES = `
Examples:
  $ fieldline agent --kafka localhost:9092
  $ fieldline agent -c fieldline.yaml
  $ fieldline agent --kafka kafka-1:9092,kafka-2:9092 --id gateway-7 --data /var/lib/fieldline

The first SIGINT or SIGTERM stops in order, the second at once. SIGHUP reads the configuration again.
`

/** `fieldline agent`: takes readings from MQTT, keeps them on disk, delivers them to Kafka. */
export function agentCommand(): Command {
  return new Command('agent')
    .description('take readings from MQTT, keep them on disk, deliver them to Kafka')
    .option('-c, --config <file>', 'YAML configuration; without one every field has its default')
    .option('--id <name>', 'name of this agent in every event id')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--listen <host:port>', "MQTT listener, or 'off'")
    .option('--data <dir>', 'directory of the logs')
    .option('--http <host:port>', "status and metrics, or 'off'")
    .addOption(
      new Option('--delivery <mode>', 'how records reach Kafka').choices([
        'at_least_once',
        'exactly_once'
      ])
    )
    .addOption(new Option('--detector <switch>', 'detect anomalies here').choices(['on', 'off']))
    .addHelpText('after', EXAMPLES)
    .action(runAgent)
}

async function runAgent(flags: ConfigFlags & { config?: string }): Promise<void> {
  const signals = new RunSignals()
  const { config: file, ...overrides } = flags
  const load = () => loadFieldlineConfig({ ...(file ? { file } : {}), overrides })
  const loaded = await load()
  const { config, hash } = loaded
  const logger = createLogger(config.logging.level)
  await checkAddressesFree([
    ...listenersOf(config.mqtt).map(({ listen }) => listen),
    config.http.listen
  ])
  // A signal that came while all this was loaded is told by the event loop, which has not turned since.
  await nextTurn()
  if (signals.stopAsked) process.exit(0)

  const agent = await Agent.start({
    config,
    version: packageVersion(),
    configHash: hash,
    releasedAt: RELEASED_AT,
    logger,
    onFailure: error => {
      // Nothing can be acknowledged any more: a supervisor's restart recovers the log.
      logger.error({ event: 'agent.failed', code: error.code }, 'The agent cannot go on; it ends.')
      process.exit(error.exitCode)
    }
  })
  const supervisor = Supervisor.open({ logger })
  let detector: EdgeDetection | undefined
  let devices: Devices | undefined
  let http: HttpServer | undefined
  const stop = async (drainMs: number): Promise<void> => {
    supervisor?.stopping(drainMs + STOP_SLACK_MS)
    logger.info({ event: 'agent.stopping' }, 'Stopping: what is not delivered waits on disk.')
    await reloading.end()
    await detector?.stop()
    await devices?.stop()
    await agent.stop(drainMs)
    await http?.close()
    logger.info({ event: 'agent.stopped' }, 'Stopped.')
    supervisor?.close()
    process.exit(0)
  }
  const reloading = new Reloading({
    loaded,
    load: file === undefined ? undefined : load,
    parts: RELOADABLE,
    apply: change => putIntoEffect(change, agent, detector, devices),
    renew: () => agent.reloadCertificates(),
    supervisor,
    summary: () => summaryOf(agent),
    logger
  })
  if (signals.stopAsked) return stop(0)
  detector = await startDetection(agent, config, logger)
  devices = await openDevices({
    ...{ agent, detection: detector, logger },
    ...{ dataDirectory: config.agent.data, devicesMax: config.agent.devicesMax }
  })
  agent.releaseAbsentReaders()
  if (signals.stopAsked) return stop(0)
  http = await openHttp(agent, detector, devices, config, reloading, logger)
  if (signals.stopAsked) return stop(0)
  tellReady(agent, config, logger)
  letYoungSpacesGrow()
  supervisor?.ready(
    () => agent.working,
    () => summaryOf(agent)
  )
  signals.answer(
    () => stop(reloading.loaded.config.agent.stopTimeoutMs),
    () => reloading.reload()
  )
  await warnOfUnknownBrokers(config, logger)
}

/** Readings are taken and kept whether Kafka is found or not: whoever typed the name is told, no more. */
async function warnOfUnknownBrokers({ kafka }: FieldlineConfig, logger: Logger): Promise<void> {
  try {
    await checkBrokersResolve(kafka.brokers)
  } catch (error) {
    const facts = { event: 'kafka.host_unknown', brokers: kafka.brokers.join(',') }
    logger.warn(facts, `${messageOf(error)} Until then readings are accepted and kept on disk.`)
  }
}

async function putIntoEffect(
  { next, sections }: ConfigChange,
  agent: Agent,
  detector: EdgeDetection | undefined,
  devices: Devices | undefined
): Promise<void> {
  const { mqtt, logging, alerts, routes, detector: detection } = next.config
  if (sections.has('mqtt')) agent.useMqtt(mqtt)
  if (sections.has('logging')) {
    agent.setLogLevel(logging.level)
    detector?.setLogLevel(logging.level)
  }
  if (sections.has('alerts')) await agent.useAlerts(alerts)
  if (sections.has('routes')) await agent.useRoutes(routes)
  if (sections.has('routes')) devices?.useRoutes(routes)
  // It decodes by the same routes.
  if (sections.has('routes') || sections.has('detector')) await detector?.reload(detection)
  agent.configHash = next.hash
}

/** For `systemctl status`. */
function summaryOf(agent: Agent): string {
  const { mode, lanes } = agent.status
  const waiting = Object.values(lanes).reduce((sum, lane) => sum + lane.backlogRecords, 0)
  return `${mode}, ${waiting} records wait for Kafka`
}

async function startDetection(
  agent: Agent,
  config: FieldlineConfig,
  logger: Logger
): Promise<EdgeDetection | undefined> {
  if (!config.detector.enabled || config.detector.scope !== 'edge') {
    // Nobody would ever clear what is open from an earlier life.
    agent.alertSinks.reconcile([])
    return undefined
  }
  // Loaded when devices are answered already: a start is as long as its first PUBACK.
  const { startEdgeDetection } = await import('../edge/edge-detection.ts')
  return startEdgeDetection({
    agent,
    dataDirectory: config.agent.data,
    config: config.detector,
    devicesMax: config.agent.devicesMax,
    threads: config.agent.threads,
    logger
  })
}

async function openHttp(
  agent: Agent,
  detector: EdgeDetection | undefined,
  devices: Devices,
  config: FieldlineConfig,
  reloading: Reloading,
  logger: Logger
): Promise<HttpServer | undefined> {
  if (!config.http.listen) return undefined
  const [{ dashboard }, { AgentViews }] = await Promise.all([
    import('../dashboard/dashboard.ts'),
    import('../agent-view/agent-view.ts')
  ])
  let metrics: Promise<Metrics> | undefined
  const page = dashboard({
    status: () => ({ ...agent.status, config: reloading.status }),
    look: async requests => detector?.look(requests),
    views: new AgentViews({
      kafka: config.kafka.brokers,
      overflow: config.log.overflow,
      detects: detector !== undefined
    })
  })
  return HttpServer.open({
    ...page,
    // For a supervisor, which has no token; they tell one word.
    openPages: ['/live', '/ready', ...page.openPages],
    address: config.http.listen,
    token: config.http.token,
    logger,
    pages: {
      ...page.pages,
      '/live': () => json({ live: true }),
      '/ready': () => json({ ready: agent.ready }, agent.ready ? 200 : 503),
      '/status': async () => {
        const [seen, heard] = await Promise.all([detector?.status(), devices.look({ limit: 0 })])
        return json({
          ...agent.status,
          configHash: reloading.status.hash,
          config: reloading.status,
          detector: seen ? { ...seen.counters, openAlerts: seen.openAlerts } : null,
          devices: heard ? { known: heard.known, forgotten: heard.forgotten } : null
        })
      },
      '/metrics': async () => {
        // Most boxes are never scraped; the library takes some MB.
        metrics ??= import('../agent-metrics.ts').then(({ agentMetrics }) =>
          agentMetrics(agent, detector, devices, () => reloading.status.hash)
        )
        const body = await (await metrics).text()
        return { status: 200, type: 'text/plain; version=0.0.4', body }
      }
    },
    queryPages: { '/devices': query => devicesPage(devices, query) }
  })
}

function tellReady(agent: Agent, config: FieldlineConfig, logger: Logger): void {
  const { identity, broker } = agent
  const facts = {
    event: 'agent.ready',
    agentId: identity.agentId,
    mqtt: broker?.status.address ?? 'off',
    kafka: config.kafka.brokers.join(','),
    http: config.http.listen ? formatAddress(config.http.listen) : 'off',
    data: path.resolve(config.agent.data),
    detector: config.detector.enabled ? config.detector.scope : 'off'
  }
  logger.info(facts, 'Accepting readings: an acknowledged one is on this disk.')
}
