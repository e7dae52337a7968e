import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Agent } from '../../agent/agent.ts'
import { agentMetrics } from '../../cli/agent-metrics.ts'
import { loadFieldlineConfig } from '../../cli/config.ts'
import { openDevices } from '../../cli/devices/open-devices.ts'
import { startEdgeDetection } from '../../cli/edge/edge-detection.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { Metrics } from '../../core/runtime/metrics.ts'
import { registerProcessMetrics } from '../../core/runtime/metrics-process.ts'
import { CentralDetector } from '../../detector/central-detector.ts'
import { registerDetectorMetrics } from '../../detector/central-metrics.ts'

/** Something of each kind that names a label's value. */
const CONFIG = `
upstreams:
  - { name: hall-2, url: 'mqtt://127.0.0.1:1', topics: ['hall/#'] }
routes:
  - { name: noise, match: 'debug/#', drop: true }
  - { name: default, match: 'telemetry/{site}/{device}' }
alerts:
  webhooks:
    - { name: ops, url: 'http://127.0.0.1:1/' }
`

/** What `/metrics` of a running agent shows, its detector at work and Kafka away. */
export async function scrapeAgent(directory: string): Promise<string> {
  const file = path.join(directory, 'fieldline.yaml')
  writeFileSync(file, CONFIG)
  const { config, hash } = await loadFieldlineConfig({
    file,
    overrides: { kafka: '127.0.0.1:1', listen: '127.0.0.1:0', data: path.join(directory, 'data') },
    env: {}
  })
  const agent = await Agent.start({
    config,
    version: '0.0.0',
    releasedAt: 0,
    logger: silentLogger,
    onFailure: () => {}
  })
  const detection = await startEdgeDetection({
    ...{ agent, dataDirectory: config.agent.data, config: config.detector },
    ...{ threads: 'off', logger: silentLogger, devicesMax: config.agent.devicesMax }
  })
  const devices = await openDevices({
    ...{ agent, detection, dataDirectory: config.agent.data },
    ...{ devicesMax: config.agent.devicesMax, logger: silentLogger }
  })
  try {
    const metrics = agentMetrics(agent, detection, devices, () => hash)
    await agent.intake.store({
      ...{ topic: 'telemetry/plant7/pump-3', payload: Buffer.from('{"temperature":21.4}') },
      ...{ qos: 1, retain: false, dup: false, packetId: 1, clientId: 'pump-3', upstream: false }
    })
    return await metrics.text()
  } finally {
    await detection.stop()
    await agent.stop(0)
  }
}

/** The same of a central detector that has not joined its group yet. */
export async function scrapeDetector(): Promise<string> {
  const { config, hash } = await loadFieldlineConfig({ overrides: { scope: 'central' }, env: {} })
  const detector = new CentralDetector({
    config: config.detector,
    kafka: () => {
      throw new Error('it is not run')
    },
    topics: { alerts: 'alerts', deadLetters: 'dead-letters', state: 'state' },
    routes: config.routes,
    logger: silentLogger
  })
  const metrics = new Metrics()
  registerDetectorMetrics(metrics, detector)
  registerProcessMetrics(metrics, { version: '0.0.0', configHash: () => hash })
  return metrics.text()
}
