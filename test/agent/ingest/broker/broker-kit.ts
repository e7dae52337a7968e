import { onTestFinished } from 'vitest'
import { mqttSchema } from '../../../../agent/ingest/broker/config.ts'
import {
  EmbeddedBroker,
  type EmbeddedBrokerOptions
} from '../../../../agent/ingest/broker/embedded-broker.ts'
import type { Intake } from '../../../../agent/ingest/intake.ts'
import { createLogger } from '../../../../core/runtime/log.ts'
import { type ConnectFields, RawMqtt } from '../../../kit/raw-mqtt.ts'
import { HeldLog, intakeOf } from '../held-log.ts'

/** As a configuration without a word on it, on a port of its own. */
export const MQTT_DEFAULTS = mqttSchema.parse({ listen: '127.0.0.1:0' })

export interface BrokerUnderTest {
  broker: EmbeddedBroker
  log: HeldLog
  intake: Intake
  lines: Record<string, unknown>[]
  /** What it was started with. */
  config: EmbeddedBrokerOptions
  connect(fields?: ConnectFields): Promise<RawMqtt>
  /** Opens a connection and sends nothing. */
  open(): Promise<RawMqtt>
}

/** The embedded broker on a port of its own, over a log that the test holds. Ends with the test. */
export async function startBroker(
  options: Partial<EmbeddedBrokerOptions> & { inflightBytesMax?: number } = {}
): Promise<BrokerUnderTest> {
  const log = new HeldLog()
  const lines: Record<string, unknown>[] = []
  const { inflightBytesMax, ...rest } = options
  const intake = intakeOf(log, inflightBytesMax)
  const config = { ...MQTT_DEFAULTS, connectionsMax: 100, ...rest }
  const broker = await EmbeddedBroker.open(
    config,
    intake,
    createLogger('debug', line => lines.push(JSON.parse(line)))
  )
  const clients: RawMqtt[] = []
  onTestFinished(async () => {
    for (const client of clients) client.destroy()
    await broker.close()
  })
  const kept = (client: RawMqtt) => {
    clients.push(client)
    return client
  }
  return {
    broker,
    log,
    intake,
    lines,
    config,
    connect: async fields => kept(await RawMqtt.connect(broker.port, fields)),
    open: async () => kept(await RawMqtt.open(broker.port))
  }
}
