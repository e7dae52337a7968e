import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { example, pythonWith } from '../kit/python.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

/* What deploy/ONNX.md shows: a model made in Python, asked what it would have told. */

const SEED = 3
const ROWS = 4000
const FAULT_ROWS = 100
const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli/main.js'
)
const METRICS = ['temperature', 'vibration', 'current']

/** Three metrics that follow a load; in the end the vibration falls as it rises. */
function pump(rows: number): string {
  const prng = new Prng(SEED)
  const lines = [`timestamp,${METRICS}`]
  for (let row = 0; row < rows; row++) {
    const load = 0.5 + 0.5 * Math.sin(row / 120) + 0.05 * prng.normal()
    const shaking = row < ROWS - FAULT_ROWS ? load : 1 - load
    const values = [
      55 + 10 * load + 0.3 * prng.normal(),
      2 + shaking + 0.05 * prng.normal(),
      5 + 6 * load + 0.2 * prng.normal()
    ]
    lines.push([new Date(1.79e12 + row * 10_000).toISOString(), ...values].join(','))
  }
  return `${lines.join('\n')}\n`
}

const python = await pythonWith('requirements-model.txt')

test.skipIf(!python)(
  'a model that is trained in Python as shown finds what no single metric shows',
  () => {
    const directory = temporaryDirectory()
    const file = (name: string, text: string): string => {
      fs.writeFileSync(path.join(directory, name), text)
      return path.join(directory, name)
    }
    const models = path.join(directory, 'models/pump')
    const history = file('history.csv', pump(ROWS * 0.75))
    const args = [example('python/train_model.py'), history, models, ...METRICS]
    execFileSync(python as string, args, { stdio: 'pipe' })

    const recording = file('pump-1.csv', pump(ROWS))
    const config = file(
      'fieldline.yaml',
      `detector: { scorer: onnx, models: [{ name: pump, path: ${models}, devices: ['pump-*'] }] }\n`
    )
    const out = execFileSync(process.execPath, [MAIN, 'replay', '-c', config, '--json', recording])
    const events = out
      .toString()
      .trim()
      .split('\n')
      .map(line => JSON.parse(line).data)
    const faultAt = 1.79e12 + (ROWS - FAULT_ROWS) * 10_000
    const [found] = events.filter(({ at }) => Date.parse(at) >= faultAt)
    expect(found).toMatchObject({
      kind: 'anomaly',
      severity: 'critical',
      detector: { name: 'pump' }
    })
    expect(Date.parse(found.at)).toBeLessThan(faultAt + 30 * 10_000)
    expect(found.contributions[0].metric).toBe('vibration')
  },
  120_000
)
