import { SEVERITIES, type Severity } from '../../core/contract/alert-event.ts'

/** Scores from which a severity is given: 0.87 is 1.3 times the scorer's line, 0.95 is 2.2 times. */
export const SEVERITY_BANDS = { warning: 0.87, critical: 0.95 } as const

export function severityOf(score: number): Severity {
  if (score >= SEVERITY_BANDS.critical) return 'critical'
  return score >= SEVERITY_BANDS.warning ? 'warning' : 'info'
}

export function worse(a: Severity, b: Severity): Severity {
  return SEVERITIES.indexOf(a) >= SEVERITIES.indexOf(b) ? a : b
}
