import type { AlertData } from '../../core/contract/alert-event.ts'
import { type AgentView, AgentViews } from '../agent-view/agent-view.ts'
import type { Verdict } from '../agent-view/verdict.ts'
import { RateMeter } from '../terminal/rate-meter.ts'
import { type AgentAnswer, type DetectorAnswer, openAlertsOf, type StatusAnswer } from './answer.ts'
import { detectorVerdict } from './detector-verdict.ts'
import type { HeardDevices } from './device-feed.ts'
import { type Buckets, quantile, type ScrapedNumbers, since } from './metrics-page.ts'

export interface AgentSight {
  kind: 'agent'
  /** Epoch ms, of the one who looks. */
  at: number
  status: AgentAnswer
  /** As on the dashboard. */
  view: AgentView
  verdict: Verdict
  inBytesPerS: number
  alerts: AlertData[]
  /** ms; of the last seconds if there were any, else since start. */
  puback: { p50: number; p99: number } | undefined
  wearBytesPerDay: number | undefined
  /** undefined where nothing is detected. */
  devices: HeardDevices | undefined
}

export interface DetectorSight {
  kind: 'detector'
  at: number
  status: DetectorAnswer
  verdict: Verdict
  readPerS: number
  /** Records that are not read yet, all partitions together. */
  lag: number
  alerts: AlertData[]
}

export type Sight = AgentSight | DetectorSight

export interface Seen {
  answer: StatusAnswer
  scraped: ScrapedNumbers | undefined
  devices: HeardDevices | undefined
}

/** PUBACKs are judged over so many looks. */
const PUBACK_LOOKS = 5

/** Makes a picture of what was seen; remembers a few seconds for the rates. */
export class Sights {
  readonly #views = new AgentViews({ kafka: [], overflow: undefined, detects: false })
  readonly #inBytes = new RateMeter()
  readonly #read = new RateMeter()
  #pubacks: Buckets[] = []
  #uptimeMs = 0

  /**
   * @param now Epoch ms.
   * @param monotonic Monotonic ms, of the same instant.
   */
  take(seen: Seen, now: number, monotonic: number): Sight {
    const { answer } = seen
    const alerts = openAlertsOf(answer)
      .map(({ data }) => data)
      .sort(byWeight)
    return answer.kind === 'agent'
      ? this.#agent(answer.status, alerts, seen, now, monotonic)
      : this.#detector(answer.status, alerts, now, monotonic)
  }

  #agent(
    status: AgentAnswer,
    alerts: AlertData[],
    { scraped, devices }: Seen,
    now: number,
    monotonic: number
  ): AgentSight {
    // It was started anew: what was counted before tells nothing.
    if (status.uptimeMs < this.#uptimeMs) this.#forget()
    this.#uptimeMs = status.uptimeMs
    this.#inBytes.add(monotonic, status.intake.storedBytes)
    const counters = status.detector ?? undefined
    const look = counters && { counters, alerts: summaryOf(alerts) }
    const view = this.#views.view(status, look, now)
    return {
      ...{ kind: 'agent', at: now, status, view, verdict: view.verdict, alerts, devices },
      inBytesPerS: this.#inBytes.perSecond,
      puback: this.#puback(scraped?.puback),
      wearBytesPerDay: scraped?.wearBytesPerDay
    }
  }

  #detector(
    status: DetectorAnswer,
    alerts: AlertData[],
    now: number,
    monotonic: number
  ): DetectorSight {
    this.#read.add(monotonic, status.counters.records)
    const lag = status.partitions.reduce((sum, partition) => sum + partition.lag, 0)
    const verdict = detectorVerdict(status, summaryOf(alerts))
    const readPerS = this.#read.perSecond
    return { kind: 'detector', at: now, status, verdict, readPerS, lag, alerts }
  }

  #puback(buckets: Buckets | undefined): AgentSight['puback'] {
    if (!buckets) return undefined
    const before = this.#pubacks[0]
    this.#pubacks = [...this.#pubacks, buckets].slice(-PUBACK_LOOKS)
    const lately = since(buckets, before)
    const counted = lately.at(-1)?.[1] ? lately : buckets
    const [p50, p99] = [quantile(counted, 0.5), quantile(counted, 0.99)]
    if (p50 === undefined || p99 === undefined) return undefined
    return { p50: p50 * 1000, p99: p99 * 1000 }
  }

  #forget(): void {
    this.#views.forget()
    this.#inBytes.reset()
    this.#pubacks = []
  }
}

function summaryOf(alerts: readonly AlertData[]) {
  return {
    total: alerts.length,
    devices: new Set(alerts.map(({ site, device }) => `${site}\0${device}`)).size,
    critical: alerts.filter(({ severity }) => severity === 'critical').length,
    shown: []
  }
}

const WEIGHTS: Readonly<Record<string, number>> = { critical: 2, warning: 1, info: 0 }

/** The most severe first, of those the newest: as on the dashboard. */
function byWeight(a: AlertData, b: AlertData): number {
  const severity = (WEIGHTS[b.severity] ?? 0) - (WEIGHTS[a.severity] ?? 0)
  return severity || (a.startedAt < b.startedAt ? 1 : -1)
}
