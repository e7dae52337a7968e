import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../../cli/local-kafka.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'
import { append, event, openAlertLog, startSinks, until } from './sink-kit.ts'

const PROGRAM = 'prometheus-alertmanager'
const missing = spawnSync(PROGRAM, ['--version']).status !== 0

interface Known {
  labels: Record<string, string>
  annotations: Record<string, string>
  startsAt: string
}

/** Debian's, on a port of its own; ends with the test. */
async function startAlertmanager(): Promise<{ url: string; alerts: () => Promise<Known[]> }> {
  const [directory, port] = [temporaryDirectory(), await freePort()]
  const config = path.join(directory, 'alertmanager.yml')
  writeFileSync(config, 'route: { receiver: none }\nreceivers: [{ name: none }]\n')
  const child: ChildProcess = spawn(
    PROGRAM,
    [
      ...[`--config.file=${config}`, `--storage.path=${directory}`, '--cluster.listen-address='],
      `--web.listen-address=127.0.0.1:${port}`
    ],
    { stdio: 'ignore' }
  )
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const url = `http://127.0.0.1:${port}`
  const alerts = async () => (await fetch(`${url}/api/v2/alerts`)).json() as Promise<Known[]>
  await expect.poll(() => alerts().catch(() => undefined), { timeout: 20_000 }).toEqual([])
  return { url: `${url}/api/v2/alerts`, alerts }
}

test.skipIf(missing)(
  'Alertmanager itself takes alerts, tells them apart by labels, and resolves what is cleared',
  async () => {
    const directory = temporaryDirectory()
    const [manager, log] = [await startAlertmanager(), await openAlertLog(directory)]
    const webhooks = [{ name: 'ops', url: manager.url, resend_interval: '1s' }]
    const { sinks } = await startSinks(directory, log, { webhooks })
    // It forgets alerts that were over long ago.
    const now = Date.now() - 10_000
    await append(log, event(1, 'raised', {}, now), event(1, 'raised', { device: 'b' }, now))
    const seen = async () =>
      (await manager.alerts()).map(({ labels }) => `${labels.device} ${labels.severity}`).sort()
    await expect.poll(seen, { timeout: 5000 }).toEqual(['b warning', 'pump-3 warning'])
    const [alert] = (await manager.alerts()).filter(({ labels }) => labels.device === 'b')
    expect(alert).toMatchObject({
      labels: { alertname: 'FieldlineAnomaly', agent: 'gateway-7', kind: 'anomaly' },
      annotations: { value: '97.1', description: expect.stringContaining('5.3 σ') },
      startsAt: new Date(now).toISOString()
    })
    await append(log, event(2, 'updated', { severity: 'critical' }, now))
    await expect.poll(seen, { timeout: 5000 }).toEqual(['b warning', 'pump-3 critical'])
    await append(log, event(3, 'cleared', { severity: 'critical' }, now))
    await append(log, event(2, 'cleared', { device: 'b' }, now))
    await expect.poll(seen, { timeout: 5000 }).toEqual([])
    await until(() => sinks.status[0].delivered === 5)
    expect(sinks.status[0]).toMatchObject({ refused: 0, state: 'delivering' })
  }
)
