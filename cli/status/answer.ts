import type { AgentStatus } from '../../agent/status.ts'
import type { AlertEvent } from '../../core/contract/alert-event.ts'
import type { CentralStatus } from '../../detector/central-detector.ts'
import type { DetectorCounters } from '../../detector/counters.ts'
import type { ConfigStatus } from '../reload/reloading.ts'

/** What an agent's `/status` says. */
export type AgentAnswer = AgentStatus & {
  configHash?: string
  config?: ConfigStatus
  detector?: (DetectorCounters & { openAlerts: AlertEvent[] }) | null
}

/** What a central detector's `/status` says. */
export type DetectorAnswer = CentralStatus & { alerts: AlertEvent[]; config?: ConfigStatus }

export type StatusAnswer =
  | { kind: 'agent'; status: AgentAnswer }
  | { kind: 'detector'; status: DetectorAnswer }

/** @returns undefined when it is of neither, or of a version too far from this one. */
export function answerOf(body: string): StatusAnswer | undefined {
  const page = objectIn(body)
  if (!page) return undefined
  const { mode, lanes, intake, upstreams, alertSinks, state, partitions, counters, alerts } = page
  if (typeof mode === 'string' && isObject(lanes) && isObject(lanes.telemetry)) {
    const whole = isObject(intake) && Array.isArray(upstreams) && Array.isArray(alertSinks)
    return whole ? { kind: 'agent', status: page as unknown as AgentAnswer } : undefined
  }
  if (typeof state === 'string' && Array.isArray(partitions) && Array.isArray(alerts)) {
    return isObject(counters)
      ? { kind: 'detector', status: page as unknown as DetectorAnswer }
      : undefined
  }
  return undefined
}

/** The open alerts, of an agent that detects or of a detector. */
export function openAlertsOf({ kind, status }: StatusAnswer): AlertEvent[] {
  return kind === 'agent' ? (status.detector?.openAlerts ?? []) : status.alerts
}

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
