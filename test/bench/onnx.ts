import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { silentLogger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { Detector, type DetectorReading } from '../../detector/detector.ts'
import { loadModel } from '../../detector/scorer/onnx-models.ts'
import { OnnxScorer } from '../../detector/scorer/onnx-scorer.ts'
import { encodeOnnx, type OnnxModel } from '../../detector/scorer/onnx-writer.ts'
import { detectorConfig } from '../detector/kit.ts'
import { medianOf } from './report.ts'

const MODELS = 'test/detector/scorer/models'
const ROUNDS = 5
const ROUND_MS = 400
/** Windows that arrive in 10 ms at 100, 800, 6,400, 30,000 and 300,000 a second. */
const ARRIVALS = [1, 8, 64, 300, 3000]
const METRICS = Array.from({ length: 8 }, (_, i) => `m${i}`)
/** Readings a second, each of one metric and yet a row. */
const PACES = [1000, 10_000, 30_000]
const PACED_MS = 10_000

/**
 * Rows a second through `OnnxScorer`, scaling and scores included, one core, by how many rows come
 * at once: what a source has collected while the ones before were scored.
 */
export async function benchOnnx(): Promise<unknown> {
  const models: Record<string, () => Promise<OnnxScorer>> = {
    'autoencoder 8-32-8-32-8': autoencoder,
    'lstm 12 cells, 16 × 3': () => committed('lstm'),
    'isolation forest, 5 trees of 16': () => committed('isolation-forest'),
    'scaler, PCA, one-class SVM': () => committed('scaler-pca-svm')
  }
  const results = []
  for (const [name, open] of Object.entries(models)) {
    const model = await open()
    const rowsPerSecond: Record<number, number> = {}
    for (const count of ARRIVALS) rowsPerSecond[count] = await rate(model, count)
    await model.close()
    results.push({ name, rowsPerSecondByArrivalsIn10Ms: rowsPerSecond })
  }
  const paced = []
  for (const perSecond of PACES) paced.push(await pace(perSecond))
  return { benchmark: 'onnx', rounds: ROUNDS, roundMs: ROUND_MS, results, paced }
}

/**
 * The whole engine with the autoencoder, readings coming at an even pace and taken as a source takes
 * them: all that came while the ones before were worked on, 512 at most.
 */
async function pace(perSecond: number): Promise<unknown> {
  const model = await autoencoder()
  const detector = new Detector(detectorConfig({ scorer: 'onnx', seriesMax: 100_000 }), {
    ...{ source: '/fieldline/bench', logger: silentLogger, models: [model] }
  })
  const waits: number[] = []
  const batches: number[] = []
  const { user, system } = process.cpuUsage()
  const from = performance.now()
  const dueAt = (n: number) => from + (n * 1000) / perSecond
  let taken = 0
  while (performance.now() - from < PACED_MS) {
    const due = Math.floor(((performance.now() - from) * perSecond) / 1000)
    const count = Math.min(512, due - taken)
    if (count === 0) {
      await sleep(1)
      continue
    }
    const prng = new Prng(taken)
    await detector.process(Array.from({ length: count }, (_, i) => machine(taken + i, prng)))
    const now = performance.now()
    for (let n = taken; n < taken + count; n++) waits.push(now - dueAt(n))
    batches.push(count)
    taken += count
  }
  const used = process.cpuUsage({ user, system })
  const { modelRows } = detector.counters()
  await detector.close()
  waits.sort((a, b) => a - b)
  return {
    readingsPerSecond: perSecond,
    rows: modelRows,
    readingsABatch: Math.round((10 * taken) / batches.length) / 10,
    waitMsP99: Math.round(10 * waits[Math.floor(0.99 * waits.length)]) / 10,
    cpuPercent: Math.round((used.user + used.system) / 10 / (performance.now() - from))
  }
}

function machine(n: number, prng: Prng): DetectorReading {
  const values = [{ metric: METRICS[Math.floor(n / 1000) % 8], value: prng.normal() }]
  const at = 1.8e12 + n
  return {
    ...{ epoch: '1-0000000000000000', offset: n, agentId: 'bench', eventId: `bench/${n}` },
    ...{ site: 'bench', device: `machine-${n % 1000}`, at, receivedAt: at, values }
  }
}

async function rate(model: OnnxScorer, count: number): Promise<number> {
  const prng = new Prng(1)
  const { metrics, rows } = model.shape
  const windows = Array.from({ length: count }, () =>
    Float64Array.from({ length: metrics.length * rows }, () => prng.normal())
  )
  const rates: number[] = []
  // The first round warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const from = performance.now()
    let scored = 0
    while (performance.now() - from < ROUND_MS) {
      const scores = await model.score(windows)
      if (scores.some(s => s === undefined)) throw new Error('a row has no score')
      scored += count
    }
    if (round > 0) rates.push((scored / (performance.now() - from)) * 1000)
  }
  return Math.round(medianOf(rates))
}

function committed(name: string): Promise<OnnxScorer> {
  return loadModel({ name, path: `${MODELS}/${name}` }, silentLogger)
}

/** Dense, ReLU, 5 KB; its weights are chance, which costs the same. */
function autoencoder(): Promise<OnnxScorer> {
  const prng = new Prng(8)
  const widths = [8, 32, 8, 32, 8]
  const graph: OnnxModel = {
    ...{ name: 'autoencoder', producer: 'bench', opset: 13 },
    inputs: [{ name: 'x', shape: ['batch', 8] }],
    outputs: [{ name: 'z4', shape: ['batch', 8] }],
    ...{ constants: [], nodes: [] }
  }
  let last = 'x'
  for (let layer = 1; layer < widths.length; layer++) {
    const shape = [widths[layer - 1], widths[layer]]
    const values = Array.from({ length: shape[0] * shape[1] }, () => 0.2 * prng.normal())
    graph.constants.push({ name: `w${layer}`, shape, values })
    graph.constants.push({
      name: `b${layer}`,
      shape: [shape[1]],
      values: values.slice(0, shape[1])
    })
    graph.nodes.push({
      op: 'Gemm',
      inputs: [last, `w${layer}`, `b${layer}`],
      outputs: [`z${layer}`]
    })
    graph.nodes.push({ op: 'Relu', inputs: [`z${layer}`], outputs: [`h${layer}`] })
    last = `h${layer}`
  }
  graph.nodes.pop()
  const model = encodeOnnx(graph)
  return OnnxScorer.open({
    ...{ name: 'autoencoder', model, covers: () => true, logger: silentLogger },
    sidecar: {
      ...{ version: '1', sha256: createHash('sha256').update(model).digest('hex') },
      inputs: METRICS.map(metric => ({ metric, mean: 0, std: 1 })),
      ...{ input: 'x', output: 'z4', reduction: 'mse', direction: 'higher', threshold: 1 }
    }
  })
}
