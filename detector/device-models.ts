import { deviceKeyOf } from './alert/silence.ts'
import type { DeviceScore, DeviceScorer } from './scorer/device-scorer.ts'

/** The readings' own part of the engine's interface that matters here. */
interface DeviceValues {
  site: string
  device: string
  values: readonly { metric: string; value: number }[]
}

/** What a model says about a reading's device. */
export interface ModelVerdict {
  model: DeviceScorer
  /** `undefined`: the model could not score the row. */
  result: DeviceScore | undefined
}

/** Last values of a device; NaN where none was seen yet. */
interface DeviceVector {
  model: DeviceScorer
  values: Float64Array
}

/**
 * Keeps the last values of every device that a model covers, and has the models score them, many
 * devices a call. A device is scored once all metrics of its model were seen.
 *
 * Bounded: past `devicesMax` the longest unheard device's values are forgotten.
 */
export class DeviceModels {
  readonly #models: readonly DeviceScorer[]
  readonly #devicesMax: number
  readonly #vectors = new Map<string, DeviceVector>()

  constructor(models: readonly DeviceScorer[], options: { devicesMax: number }) {
    this.#models = models
    this.#devicesMax = Math.max(1, options.devicesMax)
  }

  /** @returns What the models say, by the readings' index; absent where no model is concerned. */
  async score(readings: readonly (DeviceValues | undefined)[]): Promise<Map<number, ModelVerdict>> {
    const verdicts = new Map<number, ModelVerdict>()
    if (this.#models.length === 0) return verdicts
    const queues = new Map<DeviceScorer, { index: number; row: Float64Array }[]>()
    for (const [index, reading] of readings.entries()) {
      const vector = reading && this.#update(reading)
      if (!vector?.values.every(Number.isFinite)) continue
      const queue = queues.get(vector.model) ?? []
      queue.push({ index, row: vector.values.slice() })
      queues.set(vector.model, queue)
    }
    for (const [model, queue] of queues) {
      const results = await model.score(queue.map(q => q.row))
      for (const [i, { index }] of queue.entries()) {
        verdicts.set(index, { model, result: results[i] })
      }
    }
    return verdicts
  }

  snapshot(): VectorState[] {
    return [...this.#vectors].map(([key, { model, values }]) => ({
      key,
      model: model.name,
      // JSON has no NaN.
      values: [...values].map(v => (Number.isFinite(v) ? v : null))
    }))
  }

  restore(states: VectorState[]): void {
    this.#vectors.clear()
    for (const { key, model: name, values } of states) {
      const model = this.#models.find(m => m.name === name && m.metrics.length === values.length)
      if (!model) continue
      this.#vectors.set(key, { model, values: Float64Array.from(values, v => v ?? Number.NaN) })
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#models.map(m => m.close()))
  }

  /** @returns The device's values, if the reading changed any that its model looks at. */
  #update(reading: DeviceValues): DeviceVector | undefined {
    const key = deviceKeyOf(reading)
    let vector = this.#vectors.get(key)
    if (!vector) {
      const model = this.#models.find(m => m.covers(reading.site, reading.device))
      if (!model) return undefined
      vector = { model, values: new Float64Array(model.metrics.length).fill(Number.NaN) }
    }
    let changed = false
    for (const { metric, value } of reading.values) {
      const index = vector.model.metrics.indexOf(metric)
      if (index < 0 || !Number.isFinite(value)) continue
      vector.values[index] = value
      changed = true
    }
    if (!changed) return undefined
    this.#vectors.delete(key)
    this.#vectors.set(key, vector)
    if (this.#vectors.size > this.#devicesMax) {
      for (const oldest of this.#vectors.keys()) {
        this.#vectors.delete(oldest)
        break
      }
    }
    return vector
  }
}

export interface VectorState {
  key: string
  model: string
  values: (number | null)[]
}
