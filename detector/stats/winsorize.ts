/**
 * Limits a value to ±`limit`: an outlier still counts, but no more than the limit.
 *
 * Source: W. J. Dixon, Simplified estimation from censored normal samples, 1960 (named there for
 * C. P. Winsor).
 */
export function winsorize(value: number, limit: number): number {
  return Math.min(limit, Math.max(-limit, value))
}
