import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '../core/runtime/log.ts'
import { deviceKeyOf } from './alert/silence.ts'
import { DeviceWindow, type WindowStep } from './device-window.ts'
import type { DeviceModel, DeviceScore, DeviceScorer, RowShape } from './scorer/device-scorer.ts'

/** The readings' own part of the engine's interface that matters here. */
interface DeviceValues {
  site: string
  device: string
  /** Event time, epoch ms. */
  at: number
  values: readonly { metric: string; value: number }[]
}

/**
 * What a model says about a reading's device.
 *
 *   scored   a row came with the reading, and has a score
 *   failed   a row came, and the model gave no score for it
 *   waiting  a row came, but the model cannot be asked yet
 *   between  no row came
 */
export interface ModelVerdict {
  state: 'scored' | 'failed' | 'waiting' | 'between'
  /** Metrics that the model answers for: none while it does not. */
  covered: readonly string[]
  /** With a score. */
  scored?: { scorer: DeviceScorer; result: DeviceScore }
}

interface Device {
  model: string
  window: DeviceWindow
}

/** Configured models by whether something usable is there; for the others the z-score answers. */
export interface ModelStates {
  usable: number
  unusable: number
}

export function statesOf(models: readonly DeviceModel[]): ModelStates {
  const usable = models.filter(({ current }) => current !== undefined).length
  return { usable, unusable: models.length - usable }
}

/** A model within one batch: it does not change before the batch is over. */
interface Turn {
  scorer: DeviceScorer | undefined
  queue: { step: Step; window: Float64Array }[]
}

interface Step {
  index: number
  device: Device
  state: ModelVerdict['state']
  scored?: ModelVerdict['scored']
}

export interface DeviceModelsOptions {
  devicesMax: number
  /** Of all windows together. */
  bytesMax: number
  logger: Logger
}

/**
 * Keeps the windows of every device that a model covers, and has the models score them, many devices
 * a call.
 *
 * Windows outlive the model that looks at them: one that is replaced by another of the same shape,
 * or fails and comes back, finds them filled.
 *
 * Bounded: past `devicesMax` or `bytesMax` the longest unheard device's window is forgotten.
 */
export class DeviceModels {
  readonly #models: readonly DeviceModel[]
  readonly #options: DeviceModelsOptions
  /** By model: as last seen, also while nothing usable is there. */
  readonly #shapes = new Map<string, RowShape>()
  /** Longest unheard first. */
  readonly #devices = new Map<string, Device>()
  #bytes = 0
  #crowdedSaid = false

  constructor(models: readonly DeviceModel[], options: DeviceModelsOptions) {
    this.#models = models
    this.#options = options
  }

  get states(): ModelStates {
    return statesOf(this.#models)
  }

  /** @returns What the models say, by the readings' index; absent where no model is concerned. */
  async score(readings: readonly (DeviceValues | undefined)[]): Promise<Map<number, ModelVerdict>> {
    if (this.#models.length === 0) return new Map()
    const turns = new Map(this.#models.map(m => [m.name, this.#begin(m)]))
    try {
      const steps: Step[] = []
      for (const [index, reading] of readings.entries()) {
        const device = reading && this.#deviceOf(reading)
        if (!device) continue
        const turn = turns.get(device.model) as Turn
        const taken = device.window.take(reading.at, reading.values)
        if (taken === 'untouched') continue
        const step: Step = { index, device, state: stateOf(taken, turn) }
        steps.push(step)
        if (!turn.scorer || typeof taken === 'string') continue
        turn.queue.push({ step, window: taken })
        if (turn.queue.length >= turn.scorer.batchMax) await flush(turn)
      }
      for (const turn of turns.values()) await flush(turn)
      return new Map(steps.map(step => [step.index, verdictOf(step)]))
    } finally {
      for (const { scorer } of turns.values()) scorer?.release()
    }
  }

  /** Whether a model of this name looks after a device. */
  covers(model: string, site: string, device: string): boolean {
    return this.#models.some(m => m.name === model && m.covers(site, device))
  }

  snapshot(): { header: ModelsState; bytes: Uint8Array } {
    const numbers = [...this.#devices.values()].map(d => d.window.snapshot())
    const header: ModelsState = {
      shapes: [...this.#shapes],
      devices: [...this.#devices].map(([key, { model }]) => [key, model]),
      bytes: 8 * numbers.reduce((sum, n) => sum + n.length, 0)
    }
    const bytes = new Uint8Array(header.bytes)
    let at = 0
    for (const n of numbers) {
      bytes.set(new Uint8Array(n.buffer, n.byteOffset, n.byteLength), at)
      at += n.byteLength
    }
    return { header, bytes }
  }

  /** @returns false when the state is damaged. */
  restore({ shapes, devices, bytes: length }: ModelsState, bytes: Uint8Array): boolean {
    this.#forgetAll()
    if (bytes.length !== length) return false
    // A copy, so that the numbers are aligned.
    let numbers = new Float64Array(new Uint8Array(bytes).buffer)
    const known = new Map(shapes)
    for (const [key, model] of devices) {
      const shape = known.get(model)
      if (!shape) return false
      const window = new DeviceWindow(shape)
      const taken = window.restore(numbers)
      if (taken === 0) return false
      numbers = numbers.subarray(taken)
      const [site, device] = key.split('\0')
      // What the configuration takes away from a model is forgotten.
      if (this.covers(model, site, device)) this.#add(key, { model, window })
    }
    for (const { name } of this.#models) {
      const shape = known.get(name)
      if (shape) this.#shapes.set(name, shape)
    }
    return true
  }

  async close(): Promise<void> {
    await Promise.all(this.#models.map(m => m.close()))
  }

  #begin({ name, current }: DeviceModel): Turn {
    current?.retain()
    const shape = this.#shapes.get(name)
    if (current && !isDeepStrictEqual(shape, current.shape)) {
      this.#shapes.set(name, current.shape)
      if (shape) this.#forget(name)
    }
    return { scorer: current, queue: [] }
  }

  /** @returns Undefined when no model covers the device, or it was never seen what the model wants. */
  #deviceOf(reading: DeviceValues): Device | undefined {
    const key = deviceKeyOf(reading)
    let device = this.#devices.get(key)
    if (!device) {
      const model = this.#models.find(m => m.covers(reading.site, reading.device))?.name
      const shape = model === undefined ? undefined : this.#shapes.get(model)
      if (model === undefined || !shape) return undefined
      if (!reading.values.some(v => shape.metrics.includes(v.metric))) return undefined
      device = { model, window: new DeviceWindow(shape) }
    } else {
      this.#remove(key, device)
    }
    this.#add(key, device)
    this.#makeRoom()
    return device
  }

  #add(key: string, device: Device): void {
    this.#devices.set(key, device)
    this.#bytes += DeviceWindow.bytes(device.window.shape)
  }

  #remove(key: string, device: Device): void {
    this.#devices.delete(key)
    this.#bytes -= DeviceWindow.bytes(device.window.shape)
  }

  /** The newest always stays, however large. */
  #makeRoom(): void {
    const { devicesMax, bytesMax, logger } = this.#options
    for (const [key, device] of this.#devices) {
      if (this.#devices.size <= Math.max(1, devicesMax)) {
        if (this.#bytes <= bytesMax || this.#devices.size === 1) return
        if (!this.#crowdedSaid) {
          this.#crowdedSaid = true
          logger.warn(
            { event: 'detector.windows_crowded', devices: this.#devices.size - 1 },
            `The models' windows of ${this.#devices.size} devices need more than ${bytesMax} bytes: the ` +
              'longest unheard are forgotten, and the z-score answers until they are full again. ' +
              'Raise detector.window_memory, or cover fewer devices. Said once.'
          )
        }
      }
      this.#remove(key, device)
    }
  }

  #forget(model: string): void {
    for (const [key, device] of this.#devices) if (device.model === model) this.#remove(key, device)
  }

  #forgetAll(): void {
    this.#shapes.clear()
    this.#devices.clear()
    this.#bytes = 0
  }
}

function stateOf(taken: WindowStep, { scorer }: Turn): Step['state'] {
  if (taken === 'waiting' || taken === 'between') return taken
  // Until it is scored; and for good, where nothing can.
  return scorer ? 'scored' : 'failed'
}

async function flush({ scorer, queue }: Turn): Promise<void> {
  if (!scorer || queue.length === 0) return
  const results = await scorer.score(queue.map(q => q.window))
  for (const [i, { step }] of queue.entries()) {
    const result = results[i]
    if (result) step.scored = { scorer, result }
    else step.state = 'failed'
  }
  queue.length = 0
}

/** In the readings' order: what is between rows goes by the row before. */
function verdictOf({ device: { window }, state, scored }: Step): ModelVerdict {
  if (state !== 'between') window.answered = state === 'scored'
  const covered = window.answered ? window.shape.metrics : []
  return scored ? { state, covered, scored } : { state, covered }
}

/** Beside it, the windows' numbers one after the other: float64 of the machine, little-endian. */
export interface ModelsState {
  shapes: [model: string, RowShape][]
  devices: [key: string, model: string][]
  /** Length of the numbers. */
  bytes: number
}
