import type { WebhookConfig } from '../../agent/alerts/config.ts'
import { type Probe, Trial } from './probe.ts'
import { reach } from './reach.ts'

/** As far as TLS: a request would be an alert to somebody. The path may be a secret: it is not told. */
export async function tryWebhook(
  webhook: WebhookConfig,
  index: number,
  deadlineAt: number
): Promise<Probe> {
  const { protocol, hostname, port: written } = new URL(webhook.url)
  const secure = protocol === 'https:'
  const port = Number(written || (secure ? 443 : 80))
  const name = `${webhook.name} (${protocol}//${hostname}:${port})`
  const trial = new Trial('webhook', name, ['alerts', 'webhooks', index])
  const host = hostname.replace(/^\[|\]$/g, '')
  const socket = await reach(
    { host, port, ...(secure ? { tls: () => ({}) } : {}) },
    trial,
    deadlineAt
  )
  if (socket) trial.fact('reached; nothing was sent')
  socket?.destroy()
  return trial.end()
}
