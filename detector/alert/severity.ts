import { SEVERITIES, type Severity } from '../../core/contract/alert-event.ts'

/** Scores from which a severity is given; below the first it is `info`. */
export interface SeverityBands {
  warning: number
  critical: number
}

/** 0.87 is 1.3 times the scorer's line, 0.95 is 2.2 times: see `scoreOfRatio`. */
export const SEVERITY_BANDS: SeverityBands = { warning: 0.87, critical: 0.95 }

export function severityOf(score: number, bands: SeverityBands): Severity {
  if (score >= bands.critical) return 'critical'
  return score >= bands.warning ? 'warning' : 'info'
}

export function worse(a: Severity, b: Severity): Severity {
  return SEVERITIES.indexOf(a) >= SEVERITIES.indexOf(b) ? a : b
}
