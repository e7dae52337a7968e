import type { DetectorConfig } from '../config.ts'
import { Auto } from './auto.ts'
import type { Scorer } from './scorer.ts'
import { ZScore } from './zscore.ts'

/** The scorer that a configuration asks for; with models, the one that answers where they do not. */
export function seriesScorerOf(
  config: Pick<DetectorConfig, 'scorer' | 'sensitivity' | 'warmUpReadings'>
): Scorer {
  return config.scorer === 'auto' ? new Auto(config) : new ZScore(config)
}
