/**
 * Lag-1 autocorrelation from running means of `r·previous` and `r²`, drawn towards 0 while there are
 * few readings, and kept off ±1, where a forecast from it would not forget.
 *
 * @param n Readings behind the two means.
 *
 * Source: Box & Jenkins, Time Series Analysis, 1970, §2.1 (Yule-Walker for AR(1)).
 */
export function lagOneCorrelation(product: number, square: number, n: number): number {
  if (!(square > 0)) return 0
  const plain = product / square
  const shrunk = (plain * n) / (n + 10)
  return Math.min(0.98, Math.max(-0.5, shrunk))
}
