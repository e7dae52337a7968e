import { Command } from 'commander'
import { TOPICS } from '../../core/contract/topics.ts'
import { kafkaFromConfig } from '../../core/kafka/connection.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { type HttpAnswer, HttpServer, json } from '../../core/runtime/http.ts'
import { RunSignals } from '../../core/runtime/lifecycle.ts'
import { createLogger, setLogLevel } from '../../core/runtime/log.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { registerProcessMetrics } from '../../core/runtime/metrics-process.ts'
import { packageVersion } from '../../core/runtime/package-root.ts'
import { Supervisor } from '../../core/runtime/sd-notify.ts'
import { CentralDetector } from '../../detector/central-detector.ts'
import { registerDetectorMetrics } from '../../detector/central-metrics.ts'
import { type ConfigFlags, loadFieldlineConfig } from '../config.ts'
import type { ReloadableParts } from '../reload/config-changes.ts'
import { Reloading } from '../reload/reloading.ts'

interface DetectorFlags {
  config?: string
  kafka?: string
  group?: string
  scope?: string
  http?: string
}

/**
 * What else is new means leaving the group and joining it again: a restart, one member after the other,
 * which the operator times.
 */
const RELOADABLE: ReloadableParts = { sections: [['logging']], except: [] }

/** A stop saves the state of every partition in Kafka. */
const STOP_MS = 60_000

const EXAMPLES = `
Examples:
  $ fieldline detector --kafka localhost:9092 --scope central
  $ fieldline detector -c fieldline.yaml --http 127.0.0.1:8081

The first SIGINT or SIGTERM stops in order, the second at once. SIGHUP reads the configuration again;
the log level changes, what else is new needs a restart and is named.
`

/** `fieldline detector`: the central detector, a member of a consumer group. */
export function detectorCommand(): Command {
  return new Command('detector')
    .description('Find anomalies in the telemetry of the whole fleet, from Kafka to Kafka.')
    .option('-c, --config <file>', 'configuration file (default: every field has its default)')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--group <name>', 'consumer group: detectors of one group share the partitions')
    .option('--scope <edge|central>', 'who owns the series: here it must be central')
    .option('--http <host:port>', 'serve /live, /ready, /status and /metrics here (default: off)')
    .addHelpText('after', EXAMPLES)
    .action(run)
}

async function run(flags: DetectorFlags): Promise<void> {
  const overrides: ConfigFlags = {
    ...(flags.kafka ? { kafka: flags.kafka } : {}),
    ...(flags.group ? { group: flags.group } : {}),
    ...(flags.scope ? { scope: flags.scope } : {}),
    ...(flags.http ? { http: flags.http } : {})
  }
  const signals = new RunSignals()
  const load = () =>
    loadFieldlineConfig({ ...(flags.config ? { file: flags.config } : {}), overrides })
  const loaded = await load()
  const { config } = loaded
  if (config.detector.scope !== 'central') {
    throw new OperationalError(
      'CONFIG_INVALID',
      'detector.scope is edge: the agents own the series and raise their alerts, a central detector ' +
        'would tell every fault twice. Set `scope: central` in the detector section of the agents and ' +
        'here, or give --scope central and name the agents that detect by themselves in ' +
        'detector.edge_agents.'
    )
  }
  const logger = createLogger(config.logging.level)
  const detector = new CentralDetector({
    config: config.detector,
    kafka: () => kafkaFromConfig(config.kafka, 'detector', logger),
    topics: {
      alerts: config.uplink.alertTopic,
      deadLetters: config.uplink.deadLetterTopic,
      state: TOPICS.detectorState
    },
    statusTopic: config.uplink.statusTopic,
    routes: config.routes,
    logger
  })
  const supervisor = Supervisor.open({ logger })
  const summary = () => {
    const { state, partitions } = detector.status()
    return `${state}, ${partitions.length} partitions`
  }
  const reloading = new Reloading({
    ...{ loaded, load: flags.config ? load : undefined, parts: RELOADABLE },
    apply: async ({ next }) => setLogLevel(logger, next.config.logging.level),
    ...{ supervisor, summary, logger }
  })
  const metrics = new Metrics()
  registerDetectorMetrics(metrics, detector)
  registerProcessMetrics(metrics, {
    version: packageVersion(),
    configHash: () => reloading.status.hash
  })
  // Only on demand: the file's http section is the agent's, which may run beside it.
  const { listen, token } = config.http
  const http =
    flags.http && listen
      ? await HttpServer.open({
          ...{ address: listen, token, logger, pages: pagesOf(detector, metrics, reloading) },
          openPages: ['/live', '/ready']
        })
      : undefined
  const abort = new AbortController()
  if (signals.stopAsked) process.exit(0)
  const stop = async () => {
    supervisor?.stopping(STOP_MS)
    await reloading.end()
    abort.abort()
  }
  logger.info(
    { event: 'detector.started', group: config.detector.group, topics: config.detector.topics },
    'The detector has started.'
  )
  // Kafka may be away for days: whoever waits for it is alive.
  supervisor?.ready(() => true, summary)
  signals.answer(stop, () => reloading.reload())
  try {
    await detector.run(abort.signal)
    logger.info({ event: 'detector.stopped', ...detector.counters() }, 'The detector has stopped.')
  } finally {
    signals.dispose()
    await http?.close()
    supervisor?.close()
  }
}

function pagesOf(detector: CentralDetector, metrics: Metrics, reloading: Reloading) {
  return {
    '/live': () => json({ live: true }),
    '/ready': () => {
      const ready = detector.status().state === 'reading'
      return json({ ready }, ready ? 200 : 503)
    },
    '/status': () =>
      json({ ...detector.status(), alerts: detector.openAlerts(), config: reloading.status }),
    '/metrics': async (): Promise<HttpAnswer> => ({
      status: 200,
      type: 'text/plain; version=0.0.4',
      body: await metrics.text()
    })
  }
}
