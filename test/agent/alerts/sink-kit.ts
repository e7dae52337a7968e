import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { AlertSinks, type AlertSinksOptions } from '../../../agent/alerts/alert-sinks.ts'
import { alertsSchema } from '../../../agent/alerts/config.ts'
import {
  type AlertData,
  type AlertEvent,
  alertEvent,
  alertId,
  encodeAlertFrame,
  seriesSubject
} from '../../../core/contract/alert-event.ts'
import { DurableLog } from '../../../core/log/log.ts'
import { systemClock } from '../../../core/runtime/clock.ts'
import { createLogger } from '../../../core/runtime/log.ts'

export const STARTED_AT = 1_795_336_000_000
const EPOCH = '1-9f2c03d1a7b4e655'

/** Waits for what nothing else tells of; the test's own time limit ends a vain wait. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 5))
}

/** The n-th event of one alert, n from 1, a second after the one before. */
export function event(
  n: number,
  state: AlertData['state'],
  fields: Partial<AlertData> = {},
  startedAt = STARTED_AT
): AlertEvent {
  const subject = { site: 'plant7', device: 'pump-3', metric: 'temperature', ...fields }
  const { site, device, metric } = subject
  const at = new Date(startedAt + n * 1000).toISOString()
  return alertEvent('/fieldline/gateway-7', n, {
    alertId: alertId(seriesSubject(site, device, metric), fields.kind ?? 'anomaly', startedAt),
    state,
    kind: 'anomaly',
    severity: 'warning',
    ...{ site, device, metric, value: 97.1, unit: '°C', expected: 61.8, lower: 55.2, upper: 68.4 },
    ...{ score: 0.93, threshold: 0.8, detector: { name: 'auto', version: '1', params: {} } },
    startedAt: new Date(startedAt).toISOString(),
    at,
    ...(state === 'cleared' ? { clearedAt: at, durationMs: n * 1000 } : {}),
    peak: { score: 0.97, value: 99, at },
    samples: 4,
    contributions: [{ metric, share: 1 }],
    reason: '5.3 σ above what this hour of day usually shows',
    eventId: `gateway-7/${EPOCH}/${184467 + n}`,
    late: false,
    ...fields
  })
}

/** A frame each. */
export async function append(log: DurableLog, ...events: AlertEvent[]): Promise<void> {
  for (const each of events) await appendFrame(log, each)
}

/** One frame: what one reading caused. */
export async function appendFrame(log: DurableLog, ...events: AlertEvent[]): Promise<void> {
  await log.append([encodeAlertFrame({ source: { epoch: EPOCH, offset: 1 }, events })])
}

export async function openAlertLog(directory: string): Promise<DurableLog> {
  const log = await DurableLog.open({
    directory: path.join(directory, 'alerts'),
    logger: createLogger('silent'),
    ...{ bytesMax: 4 << 20, overflow: 'drop_oldest' as const, sync: 'never' as const }
  })
  onTestFinished(() => log.close())
  return log
}

export interface StartedSinks {
  sinks: AlertSinks
  lines: string[]
}

/** @param config As in a file. */
export async function startSinks(
  directory: string,
  alertLog: DurableLog,
  config: object,
  doors: Partial<Pick<AlertSinksOptions, 'broker' | 'upstreams'>> = {}
): Promise<StartedSinks> {
  const lines: string[] = []
  const sinks = await AlertSinks.start({
    config: alertsSchema.parse(config),
    agentId: 'gateway-7',
    dataDirectory: directory,
    alertLog,
    broker: undefined,
    upstreams: [],
    clock: systemClock,
    logger: createLogger('debug', line => lines.push(line)),
    ...doors
  })
  onTestFinished(() => sinks.stop(0))
  return { sinks, lines }
}

export interface Request {
  path: string
  headers: http.IncomingHttpHeaders
  // biome-ignore lint/suspicious/noExplicitAny: whatever was posted
  body: any
}

export interface Reply {
  status: number
  headers?: Record<string, string>
  body?: string
  /** Never answers. */
  mute?: boolean
  /** Its answer has no end. */
  endless?: boolean
}

/** A webhook's other end: keeps what is posted, answers as it is told. */
export class Receiver {
  readonly requests: Request[] = []
  /** By the body; 200 if not given. */
  reply: (request: Request) => Reply = () => ({ status: 200 })
  readonly #tls: { cert: string; key: string } | undefined
  #server = http.createServer()
  #port = 0

  constructor(tls?: { cert: string; key: string }) {
    this.#tls = tls
  }

  get url(): string {
    return `http${this.#tls ? 's' : ''}://127.0.0.1:${this.#port}/api/v2/alerts`
  }

  get bodies(): Request['body'][] {
    return this.requests.map(({ body }) => body)
  }

  async listen(): Promise<void> {
    const answer: http.RequestListener = (request, response) => {
      const chunks: Buffer[] = []
      request.on('data', chunk => chunks.push(chunk))
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(chunks).toString())
        const seen = { path: request.url ?? '', headers: request.headers, body }
        this.requests.push(seen)
        const { status, headers, body: text, mute, endless } = this.reply(seen)
        if (endless) response.writeHead(status).write('x'.repeat(10_000))
        else if (!mute) response.writeHead(status, headers).end(text)
      })
    }
    this.#server = this.#tls ? https.createServer(this.#tls, answer) : http.createServer(answer)
    await new Promise<void>(resolve => this.#server.listen(this.#port, '127.0.0.1', resolve))
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

export async function receiver(tls?: { cert: string; key: string }): Promise<Receiver> {
  const started = new Receiver(tls)
  await started.listen()
  onTestFinished(() => started.close())
  return started
}
