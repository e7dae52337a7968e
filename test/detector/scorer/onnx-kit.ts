import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { createLogger } from '../../../core/runtime/log.ts'
import { OnnxScorer } from '../../../detector/scorer/onnx-scorer.ts'
import type { OnnxSidecar } from '../../../detector/scorer/onnx-sidecar.ts'
import { encodeOnnx, type OnnxModel } from '../../../detector/scorer/onnx-writer.ts'

const directories: string[] = []
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

export function recorder() {
  const lines: { level: string; event: string; msg: string }[] = []
  return { lines, logger: createLogger('info', line => lines.push(JSON.parse(line))) }
}

export function written(files: Record<string, string | Uint8Array>): string {
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-model-'))
  directories.push(directory)
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content)
  return directory
}

/** x[rows, n] through one Mul by a constant: enough to give any number wanted. */
export function scaling(factors: number[], rows: number | string = 'rows'): OnnxModel {
  const n = factors.length
  return {
    name: 'scaling',
    producer: 'test',
    opset: 13,
    inputs: [{ name: 'x', shape: [rows, n] }],
    outputs: [{ name: 'y', shape: [rows, n] }],
    constants: [{ name: 'by', shape: [n], values: factors }],
    nodes: [{ op: 'Mul', inputs: ['x', 'by'], outputs: ['y'] }]
  }
}

export function open(
  model: OnnxModel,
  changes: Partial<OnnxSidecar> = {},
  logger = recorder().logger
) {
  const bytes = encodeOnnx(model)
  const width = model.inputs[0].shape[1] as number
  const sidecar: OnnxSidecar = {
    version: '1',
    sha256: createHash('sha256').update(bytes).digest('hex'),
    input: 'x',
    inputs: Array.from({ length: width }, (_, i) => ({ metric: `m${i}`, mean: 0, std: 1 })),
    output: 'y',
    reduction: 'none',
    direction: 'higher',
    threshold: 10,
    ...changes
  }
  return OnnxScorer.open({ name: 'test', model: bytes, sidecar, covers: () => true, logger })
}

export function rowOf(...values: number[]): Float64Array {
  return Float64Array.from(values)
}
