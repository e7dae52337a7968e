import type { Alerts, AlertsState } from './alert/alerts.ts'
import type { Decider } from './alert/decision.ts'
import type { SilenceWatch } from './alert/silence.ts'
import type { Dedupe } from './dedupe.ts'
import type { DeviceModels, ModelsState } from './device-models.ts'
import type { Quality } from './quality/quality.ts'
import type { Scorer } from './scorer/scorer.ts'
import type { Series, SeriesTable } from './series-table.ts'
import { decodeSnapshot, encodeSnapshot } from './snapshot.ts'
import type { StateReader, StateWriter } from './state-bytes.ts'

/** The detector's state, piece by piece. */
export interface DetectorParts {
  scorer: Scorer
  decider: Decider
  series: SeriesTable
  dedupe: Dedupe
  silence: SilenceWatch
  alerts: Alerts
  quality: Quality
  models: DeviceModels
  reserve: (slots: number) => void
}

/** Changes with the shape of what is stored; other formats are refused. */
const FORMAT = 4
/** A series' own part, at least: the lengths of its names, when it was heard, no decision. */
const SERIES_BYTES = 3 * 4 + 8 + 4

/** What is small; the rest is records. */
interface Header {
  format: number
  scorer: string
  alerts: AlertsState
  /** Their numbers are the last record. */
  models: ModelsState
}

/**
 * Series stand in the order in which they were last heard, each with all that is known of it, and so
 * do devices: what was not heard since the last time is the same bytes, one after the other, which
 * `StateChunks` finds again.
 */
export function encodeState(parts: DetectorParts): Buffer {
  const models = parts.models.snapshot()
  const header: Header = {
    format: FORMAT,
    scorer: identity(parts),
    alerts: parts.alerts.snapshot(),
    models: models.header
  }
  const { series, silence, dedupe } = parts
  const fixed = silence.stateBytesMax + dedupe.stateBytesMax + models.bytes.length
  return encodeSnapshot(header, fixed + 8 + seriesBytesMax(parts), writer => {
    writer.count(series.size)
    for (const one of series) saveSeries(one, parts, writer)
    silence.save(writer)
    dedupe.save(writer)
    writer.bytes(models.bytes)
  })
}

/**
 * @param parts Empty; filled.
 * @returns false when the bytes cannot be used. `parts` may then be half filled.
 */
export function decodeState(bytes: Uint8Array, parts: DetectorParts): boolean {
  const snapshot = decodeSnapshot(bytes)
  const header = snapshot?.header as Header | undefined
  if (!snapshot || header?.format !== FORMAT || header.scorer !== identity(parts)) return false
  const { reader } = snapshot
  const count = reader.count(SERIES_BYTES + parts.scorer.stateBytes + parts.quality.stateBytes)
  parts.reserve(Math.max(64, count))
  for (let i = 0; i < count; i++) if (!loadSeries(parts, reader)) return false
  parts.silence.load(reader)
  parts.dedupe.load(reader)
  parts.alerts.restore(header.alerts)
  const numbers = reader.bytes(header.models.bytes)
  return reader.left === 0 && parts.models.restore(header.models, numbers)
}

/** @returns The open alerts, whatever the scorer; undefined when the bytes cannot be used. */
export function alertsOfState(bytes: Uint8Array): AlertsState | undefined {
  const header = decodeSnapshot(bytes)?.header as Header | undefined
  return header?.format === FORMAT ? header.alerts : undefined
}

function saveSeries(one: Series, parts: DetectorParts, writer: StateWriter): void {
  const { site, device, metric, slot } = one
  const { scorer, quality } = parts
  writer.text(site)
  writer.text(device)
  writer.text(metric)
  writer.number(parts.series.touchedAt(one))
  scorer.save(slot, writer.words, writer.take(scorer.stateBytes / 4))
  quality.save(slot, writer.words, writer.take(quality.stateBytes / 4))
  parts.decider.save(slot, writer)
}

function loadSeries(parts: DetectorParts, reader: StateReader): boolean {
  const { scorer, quality } = parts
  const name = { site: reader.text(), device: reader.text(), metric: reader.text() }
  const series = parts.series.add(name, reader.number())
  const { slot } = series
  quality.add(series)
  const sound =
    scorer.load(slot, reader.words, reader.take(scorer.stateBytes / 4)) &&
    quality.load(slot, reader.words, reader.take(quality.stateBytes / 4))
  if (sound) parts.decider.load(slot, reader)
  return sound
}

function seriesBytesMax({ series, scorer, quality, decider }: DetectorParts): number {
  let bytes = series.size * (SERIES_BYTES + 12 + scorer.stateBytes + quality.stateBytes)
  for (const { site, device, metric, slot } of series) {
    bytes += 3 * (site.length + device.length + metric.length) + decider.stateBytesMax(slot)
  }
  return bytes
}

function identity({ scorer, quality }: DetectorParts): string {
  return `${scorer.name}/${scorer.version}/${scorer.stateBytes}/${quality.stateBytes}`
}
