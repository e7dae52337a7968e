import type { AgentAnswer, DetectorAnswer } from '../../cli/status/answer.ts'
import type { HeardDevices } from '../../cli/status/device-feed.ts'
import { type AlertData, alertEvent } from '../../core/contract/alert-event.ts'
import { noCentralCounters } from '../../detector/central-counters.ts'
import { noCounters } from '../../detector/counters.ts'
import { type StatusWishes, someStatus } from './agent-view/some-status.ts'

export const NOW = Date.UTC(2026, 10, 22, 12)

export function someAlert(wishes: Partial<AlertData> = {}) {
  return alertEvent('/fieldline/gateway-7', 1, {
    ...{ alertId: 'a/1', state: 'raised', kind: 'anomaly', severity: 'warning' },
    ...{ site: 'plant7', device: 'pump-3', metric: 'temperature', score: 0.9, threshold: 0.8 },
    ...{ detector: { name: 'auto', version: '1', params: {} } },
    ...{ startedAt: new Date(NOW - 90_000).toISOString(), at: new Date(NOW).toISOString() },
    ...{ peak: { score: 0.9, at: '' }, samples: 3, contributions: [], late: false },
    ...{ reason: '5.3 σ above the usual', ...wishes }
  } as AlertData)
}

/** What an agent's `/status` says. */
export function agentPage(
  wishes: StatusWishes = {},
  rest: Partial<AgentAnswer> = {},
  alerts: readonly ReturnType<typeof someAlert>[] = []
): AgentAnswer {
  const detector = { ...noCounters(), openAlerts: [...alerts] }
  return {
    ...someStatus({ stored: 5, delivered: 5, ...wishes }),
    ...{ agentId: 'gateway-7', uptimeMs: 7_320_000, configHash: '0123456789abcdef' },
    detector: detector as unknown as NonNullable<AgentAnswer['detector']>,
    ...rest
  }
}

export function detectorPage(rest: Partial<DetectorAnswer> = {}): DetectorAnswer {
  const place = { topic: 'telemetry', state: 'reading', error: undefined, committed: 0 } as const
  return {
    ...{ state: 'reading', error: undefined, alerts: [] },
    agents: { state: 'off', error: undefined, known: 0, away: 0 },
    partitions: [
      {
        ...place,
        partition: 0,
        position: 10,
        lag: 4,
        watermark: NOW - 5_000,
        series: 1,
        openAlerts: 0
      },
      { ...place, partition: 1, position: 90, lag: 1200, watermark: null, series: 1, openAlerts: 2 }
    ],
    counters: { ...noCounters(), ...noCentralCounters(), records: 100, series: 2 },
    ...rest
  }
}

export function someDevices(): HeardDevices {
  const quietest = [
    { site: 'plant7', device: 'pump-9', heardAt: NOW - 250_000, usualMs: 2_000, silent: true },
    { site: 'plant7', device: 'pump-1', heardAt: NOW - 1_500, usualMs: 0, silent: false }
  ]
  return { total: 2, silent: 1, matching: 2, shown: [], quietest }
}
