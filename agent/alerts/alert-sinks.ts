import { randomBytes } from 'node:crypto'
import path from 'node:path'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { DurableLog } from '../../core/log/log.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { openClaimedReader, type ReaderGap } from '../../core/log/reader-claim.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import type { EmbeddedBroker } from '../ingest/broker/embedded-broker.ts'
import type { UpstreamClient } from '../ingest/upstream/upstream-client.ts'
import { AlertReader, type SinkStatus } from './alert-reader.ts'
import type { AlertsConfig } from './config.ts'
import { MqttSink } from './mqtt-sink.ts'
import type { AlertSink } from './sink.ts'
import { forgetOtherSinks, SINK_DIRECTORY, SinkStateFile } from './sink-state-file.ts'
import { WebhookSink } from './webhook-sink.ts'

export interface AlertSinksOptions {
  config: AlertsConfig
  agentId: string
  /** The agent's. */
  dataDirectory: string
  alertLog: Pick<DurableLog, 'claim' | 'reportGap' | 'status'>
  broker: Pick<EmbeddedBroker, 'publish'> | undefined
  upstreams: readonly Pick<UpstreamClient, 'status' | 'publish'>[]
  clock: Clock
  logger: Logger
}

/** At a broker of others: enough to fill a far link, and to be lost at once without harm. */
const UPSTREAM_IN_FLIGHT_MAX = 16
const UPSTREAM_LOOK_MS = 5_000

/** Everything outside that alerts are told to, beside Kafka: each a reader of the alert log. */
export class AlertSinks {
  readonly #options: AlertSinksOptions
  readonly #readers: readonly AlertReader[]
  /**
   * Asks which alerts are open, for a sink that has missed some; undefined, or no answer: it goes on
   * with what it knows.
   */
  askOpen: (() => Promise<readonly AlertEvent[] | undefined>) | undefined

  static async start(options: AlertSinksOptions): Promise<AlertSinks> {
    const sinks = new AlertSinks(options)
    const directory = path.join(options.dataDirectory, SINK_DIRECTORY)
    const names = sinks.status.map(({ name }) => name)
    await forgetOtherSinks(nodeDisk, directory, names).catch(error => {
      const facts = { event: 'alert_sink.not_forgotten', error: messageOf(error) }
      options.logger.warn(facts, 'What a former sink of alerts left on disk cannot be removed.')
    })
    for (const reader of sinks.#readers) reader.start()
    return sinks
  }

  private constructor(options: AlertSinksOptions) {
    this.#options = options
    this.#readers = sinksOf(options).map(sink => this.#openReader(sink))
  }

  get status(): SinkStatus[] {
    return this.#readers.map(({ status }) => status)
  }

  /**
   * Makes every sink agree with who raises and clears alerts: what else is open to a sink is withdrawn.
   *
   * @param open All that are open now; whatever brought that about is in the alert log already.
   */
  reconcile(open: readonly AlertEvent[]): void {
    const { end } = this.#options.alertLog.status
    for (const reader of this.#readers) reader.reconcile(open, end)
  }

  async stop(drainMs: number): Promise<void> {
    await Promise.all(this.#readers.map(reader => reader.stop(drainMs)))
  }

  #openReader(sink: AlertSink): AlertReader {
    const { alertLog, config, dataDirectory, clock, logger } = this.#options
    const claim = alertLog.claim(sink.name, config.lagRecordsMax)
    const onGap = (gap: ReaderGap) => {
      alertLog.reportGap(sink.name, gap)
      reader.countSkipped(gap.end - gap.first)
      void this.#ask(reader)
    }
    const reader: AlertReader = new AlertReader({
      sink,
      reader: openClaimedReader(claim, { onGap }),
      logEnd: () => alertLog.status.end,
      file: new SinkStateFile(nodeDisk, path.join(dataDirectory, SINK_DIRECTORY), sink.name),
      clock,
      prng: new Prng(randomBytes(4).readUInt32BE()),
      logger
    })
    return reader
  }

  async #ask(reader: AlertReader): Promise<void> {
    const { end } = this.#options.alertLog.status
    const open = await this.askOpen?.()
    if (open) reader.reconcile(open, end)
  }
}

function sinksOf(options: AlertSinksOptions): AlertSink[] {
  const { config, broker, upstreams, agentId, logger } = options
  const sinks: AlertSink[] = []
  if (broker && config.local) {
    sinks.push(
      new MqttSink({
        name: 'mqtt',
        target: 'subscribers of this agent',
        door: { publish: (...message) => broker.publish(...message), session: () => 0 },
        inFlightMax: 1
      })
    )
  }
  for (const upstream of upstreams) {
    const { name, url } = upstream.status
    if (!config.upstreams.includes(name)) continue
    sinks.push(
      new MqttSink({
        name: `upstream.${name}`,
        target: url,
        door: {
          publish: (...message) => upstream.publish(...message),
          session: () => upstream.status.connects
        },
        inFlightMax: UPSTREAM_IN_FLIGHT_MAX,
        repeatMs: UPSTREAM_LOOK_MS
      })
    )
  }
  for (const webhook of config.webhooks) sinks.push(new WebhookSink(webhook, agentId, logger))
  return sinks
}
