import { existsSync } from 'node:fs'
import path from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { Command, Option } from 'commander'
import { Agent } from '../../agent/agent.ts'
import { registerAgentMetrics } from '../../agent/metrics.ts'
import { formatAddress } from '../../core/runtime/address.ts'
import { HttpServer, json } from '../../core/runtime/http.ts'
import { onStopSignals } from '../../core/runtime/lifecycle.ts'
import { createLogger, type Logger } from '../../core/runtime/log.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { packageVersion } from '../../core/runtime/package-root.ts'
import { Supervisor } from '../../core/runtime/sd-notify.ts'
import { type ConfigFlags, type FieldlineConfig, loadFieldlineConfig } from '../config.ts'
import { AgentViews } from '../dashboard/agent-view.ts'
import { dashboard } from '../dashboard/dashboard.ts'
import { type EdgeDetection, startEdgeDetection } from '../edge/edge-detection.ts'
import { checkAddressesFree, checkBrokersResolve } from '../preflight.ts'

/**
 * V8 lets a busy heap grow to four times what lives in it before it collects; less than twice is enough
 * here, and saves a quarter of the memory at full load for a tenth of the speed.
 */
const HEAP_FLAG = '--heap-growing-percent=70'

/** The wall clock of a box is not believed before this release was made. */
const RELEASED_AT = Date.UTC(2026, 10, 1)

/** Of a stop, beyond what is drained: closing logs, saving what was learned. */
const STOP_SLACK_MS = 30_000

const EXAMPLES = `
Examples:
  $ fieldline agent --kafka localhost:9092
  $ fieldline agent -c fieldline.yaml
  $ fieldline agent --kafka kafka-1:9092,kafka-2:9092 --id gateway-7 --data /var/lib/fieldline

The first SIGINT or SIGTERM stops in order, the second at once.
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
  setFlagsFromString(HEAP_FLAG)
  const { config: file, ...overrides } = flags
  const { config, hash } = await loadFieldlineConfig({ ...(file ? { file } : {}), overrides })
  const logger = createLogger(config.logging.level)
  await checkAddressesFree([config.mqtt.listen, config.http.listen])
  // A box that has run before starts without a name server; a new one should tell a typing error.
  const ranBefore = existsSync(path.join(config.agent.data, 'agent.json'))
  if (!ranBefore) await checkBrokersResolve(config.kafka.brokers)

  const agent = await Agent.start({
    config,
    version: packageVersion(),
    releasedAt: RELEASED_AT,
    logger,
    onFailure: error => {
      // Nothing can be acknowledged any more: a supervisor's restart recovers the log.
      logger.error({ event: 'agent.failed', code: error.code }, 'The agent cannot go on; it ends.')
      process.exit(error.exitCode)
    }
  })
  const detector = await startDetection(agent, config, logger)
  agent.releaseAbsentReaders()
  const http = await openHttp(agent, detector, config, hash, logger)
  tellReady(agent, config, logger)
  const supervisor = Supervisor.open({ logger })
  supervisor?.ready(
    () => agent.ready,
    () => summaryOf(agent)
  )
  onStopSignals(async hard => {
    if (hard) process.exit(1)
    supervisor?.stopping(config.agent.stopTimeoutMs + STOP_SLACK_MS)
    logger.info({ event: 'agent.stopping' }, 'Stopping: what is not delivered waits on disk.')
    await detector?.stop()
    await agent.stop(config.agent.stopTimeoutMs)
    await http?.close()
    logger.info({ event: 'agent.stopped' }, 'Stopped.')
    supervisor?.close()
    process.exit(0)
  })
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
  return startEdgeDetection({
    agent,
    dataDirectory: config.agent.data,
    config: config.detector,
    threads: config.agent.threads,
    logger
  })
}

async function openHttp(
  agent: Agent,
  detector: EdgeDetection | undefined,
  config: FieldlineConfig,
  configHash: string,
  logger: Logger
): Promise<HttpServer | undefined> {
  if (!config.http.listen) return undefined
  const metrics = new Metrics()
  registerAgentMetrics(metrics, agent)
  const page = dashboard({
    status: () => agent.status,
    look: async request => detector?.look(request),
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
        const seen = await detector?.status()
        return json({
          ...agent.status,
          configHash,
          detector: seen ? { ...seen.counters, openAlerts: seen.openAlerts } : null
        })
      },
      '/metrics': async () => ({
        status: 200,
        type: 'text/plain; version=0.0.4',
        body: await metrics.text()
      })
    }
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
