import { Command } from 'commander'
import { HttpServer, json } from '../../core/runtime/http.ts'
import { kafkaFromConfig } from '../../core/runtime/kafka-connection.ts'
import { onStopSignals } from '../../core/runtime/lifecycle.ts'
import { createLogger } from '../../core/runtime/log.ts'
import { CentralDetector } from '../../detector/central-detector.ts'
import { SnapshotFiles } from '../../detector/snapshot-files.ts'
import { type ConfigFlags, loadFieldlineConfig } from '../config.ts'

interface DetectorFlags {
  config?: string
  kafka?: string
  group?: string
  data?: string
  http?: string
}

/** `fieldline detector`: the central detector, a member of a consumer group. */
export function detectorCommand(): Command {
  return new Command('detector')
    .description('Find anomalies in the telemetry of the whole fleet, from Kafka to Kafka.')
    .option('-c, --config <file>', 'configuration file (default: every field has its default)')
    .option('--kafka <host:port>', 'Kafka brokers, comma-separated')
    .option('--group <name>', 'consumer group: detectors of one group share the partitions')
    .option('--data <dir>', 'keep what was learned here; without it, a restart learns anew')
    .option('--http <host:port>', 'serve /live, /ready and /status here (default: off)')
    .action(run)
}

async function run(flags: DetectorFlags): Promise<void> {
  const overrides: ConfigFlags = {
    ...(flags.kafka ? { kafka: flags.kafka } : {}),
    ...(flags.group ? { group: flags.group } : {}),
    ...(flags.http ? { http: flags.http } : {})
  }
  const { config } = await loadFieldlineConfig({
    ...(flags.config ? { file: flags.config } : {}),
    overrides
  })
  const logger = createLogger(config.logging.level)
  const snapshots = flags.data ? await SnapshotFiles.open(flags.data) : undefined
  const detector = new CentralDetector({
    config: config.detector,
    kafka: kafkaFromConfig(config.kafka, 'detector', logger),
    alertTopic: config.uplink.alertTopic,
    routes: config.routes,
    ...(snapshots ? { snapshots } : {}),
    logger
  })
  // Only on demand: the file's http section is the agent's, which may run beside it.
  const { listen, token } = config.http
  const http =
    flags.http && listen
      ? await HttpServer.open({ address: listen, token, pages: pagesOf(detector), logger })
      : undefined
  const abort = new AbortController()
  const dispose = onStopSignals(async hard => {
    if (hard) process.exit(1)
    abort.abort()
  })
  logger.info(
    { event: 'detector.started', group: config.detector.group, topics: config.detector.topics },
    'The detector has started.'
  )
  try {
    await detector.run(abort.signal)
    logger.info({ event: 'detector.stopped', ...detector.counters() }, 'The detector has stopped.')
  } finally {
    dispose()
    await http?.close()
  }
}

function pagesOf(detector: CentralDetector) {
  return {
    '/live': () => json({ live: true }),
    '/ready': () => json({ ready: true }),
    '/status': () => json({ ...detector.counters(), alerts: detector.openAlerts() })
  }
}
