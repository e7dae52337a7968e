import { existsSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { readNab, readProfiles } from '../../../cli/evaluate/nab-files.ts'
import { packageRoot } from '../../../core/runtime/package-root.ts'
import { detectorSchema } from '../../../detector/config.ts'
import { nabReport } from '../../../detector/evaluate/nab-report.ts'
import { replaySeries } from '../../../detector/evaluate/replay-series.ts'
import type { Sensitivity } from '../../../detector/scorer/scorer.ts'

const DATA = path.join(packageRoot(), '..', 'shared', 'data', 'nab')

async function reportOf(sensitivity: Sensitivity) {
  const judged = []
  for (const series of readNab(path.join(DATA, 'data'), path.join(DATA, 'windows.json'))) {
    judged.push(await replaySeries(detectorSchema.parse({ sensitivity }), series))
  }
  return nabReport(sensitivity, readProfiles(path.join(DATA, 'profiles.json')), judged)
}

test.skipIf(!existsSync(DATA))(
  'the benchmark’s development half is judged as documented',
  async () => {
    const high = await reportOf('high')
    const [standard, lowFp] = high.profiles
    expect(standard.score).toBeGreaterThan(75.5)
    expect(lowFp.score).toBeGreaterThan(68.5)
    const normal = await reportOf('normal')
    expect(normal.windowsFound).toBeGreaterThanOrEqual(42)
    expect(7 * normal.falseEpisodesPerSeriesDay).toBeLessThan(0.35)
    expect((await reportOf('low')).falseEpisodes).toBeLessThan(normal.falseEpisodes)
  }
)
