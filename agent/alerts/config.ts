import { z } from 'zod'
import { SEVERITIES } from '../../core/contract/alert-event.ts'
import { count, duration, name, refuseRepeated, text } from '../../core/runtime/config-fields.ts'
import { rotatingSecret, secret } from '../../core/runtime/secret-fields.ts'

/** With the uplink and the embedded broker they fit a log's readers. */
const WEBHOOKS_MAX = 8
const UPSTREAMS_MAX = 4
const HEADERS_MAX = 16
/** Ours, or the connection's. */
const OWN_HEADERS = new Set(
  'content-type content-length transfer-encoding connection host expect upgrade te trailer'.split(
    ' '
  )
)

const headerSchema = z.strictObject({
  name: text(checkHeaderName).describe('Name, like `authorization`'),
  value: rotatingSecret().describe(
    'Value, like `Bearer …`; written `@file:PATH` it is read for each request'
  )
})

const webhookSchema = z
  .strictObject({
    name: name().describe('Name in metrics, status and log lines'),
    url: secret()
      .superRefine(checkWebhookUrl)
      .meta({ writeOnly: true, title: 'secret' })
      .describe(
        'Where alerts are posted, path included; of Alertmanager http(s)://HOST:PORT/api/v2/alerts'
      ),
    format: z
      .enum(['alertmanager', 'cloudevents'])
      .default('alertmanager')
      .describe("What is posted: alerts of Alertmanager's API v2, or each event as a CloudEvent"),
    headers: z
      .array(headerSchema)
      .max(HEADERS_MAX)
      .superRefine((headers, context) => refuseRepeated(headers, 'name', context))
      .default([])
      .describe('Sent with each request'),
    timeout: duration({ min: 100, max: 120_000 })
      .prefault('10s')
      .describe('Longest wait for an answer'),
    resend_interval: duration({ min: 1000, max: 3_600_000 })
      .prefault('1m')
      .describe(
        "Open alerts are sent again so often, in format `alertmanager`; keep it below a third of Alertmanager's `resolve_timeout`"
      ),
    severity_min: z
      .enum(SEVERITIES)
      .default('info')
      .describe('Alerts below are not sent until they rise to it')
  })
  .transform(webhook => ({
    name: webhook.name,
    url: webhook.url,
    format: webhook.format,
    headers: webhook.headers,
    timeoutMs: webhook.timeout,
    resendIntervalMs: webhook.resend_interval,
    severityMin: webhook.severity_min
  }))

export const alertsSchema = z
  .strictObject({
    local: z
      .boolean()
      .default(true)
      .describe("Publish under `alerts/` to subscribers of the agent's own broker"),
    upstreams: z
      .array(name())
      .max(UPSTREAMS_MAX)
      .superRefine((names, context) => {
        for (const [index, upstream] of names.entries()) {
          if (names.indexOf(upstream) === index) continue
          context.addIssue({ code: 'custom', path: [index], message: `'${upstream}' stands twice` })
        }
      })
      .default([])
      .describe('Names from `upstreams`: brokers that alerts are published at too'),
    webhooks: z
      .array(webhookSchema)
      .max(WEBHOOKS_MAX)
      .superRefine((webhooks, context) => refuseRepeated(webhooks, 'name', context))
      .default([])
      .describe('Addresses that alerts are posted to'),
    lag_max: count(100, 100_000_000)
      .default(10_000)
      .describe(
        'Records of the alert log that a sink may be behind; beyond, they may be dropped, and are counted'
      )
  })
  .transform(alerts => ({
    local: alerts.local,
    upstreams: alerts.upstreams,
    webhooks: alerts.webhooks,
    lagRecordsMax: alerts.lag_max
  }))

export type AlertsConfig = z.output<typeof alertsSchema>
export type WebhookConfig = AlertsConfig['webhooks'][number]

/** The address is never repeated in a message: it may hold a secret. */
function checkWebhookUrl(value: string, context: z.RefinementCtx): void {
  const complain = (message: string) => context.addIssue({ code: 'custom', message })
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (!url || !/^https?:$/.test(url.protocol)) complain('expected http(s)://HOST[:PORT]/PATH')
  else if (url.username !== '' || url.password !== '') {
    complain("user and password do not belong into the URL: give a header 'authorization'")
  } else if (url.hash !== '') complain("a webhook's address has no '#'")
}

/** Source: RFC 9110 §5.1. */
function checkHeaderName(value: string): void {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/.test(value)) {
    throw new SyntaxError(`'${value}' is no name of an HTTP header`)
  }
  if (OWN_HEADERS.has(value.toLowerCase())) {
    throw new SyntaxError(`'${value}' is set by Fieldline itself`)
  }
}
