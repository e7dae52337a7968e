import fs from 'node:fs'
import path from 'node:path'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { DEFAULT_SITE, type HistoryInput } from '../../detector/source/history.ts'
import { instantOf } from '../../detector/source/history-time.ts'
import type { ReplayedAlert, SeriesTally } from './tally.ts'

const LABEL_BYTES_MAX = 64 * 1024 * 1024

/** What is known to have been wrong: event time in epoch ms, half-open. */
export interface ReplayLabel {
  site: string
  device: string
  /** `-`: of the device as a whole. */
  metric: string
  kind: string
  from: number
  to: number
}

export interface JudgedLabel extends ReplayLabel {
  /** From the label's beginning to the first alert about it, ms; undefined: none was raised. */
  delayMs: number | undefined
}

export interface Verdict {
  labels: JudgedLabel[]
  /** Labels of series, or of times, that the history does not hold. */
  outside: number
  /** Alerts that no label explains. */
  false: Set<ReplayedAlert>
}

/**
 * Labels as the simulator writes them (an object a line: site, device, metric, kind, from, to), or
 * NAB's windows (an object: file → [[first, last], …]), of which those of the inputs are taken.
 *
 * @throws {OperationalError} INPUT_UNREADABLE, naming file and line.
 */
export function readLabels(file: string, inputs: readonly HistoryInput[]): ReplayLabel[] {
  const text = readText(file)
  const whole = parse(text)
  if (isObject(whole) && !('from' in whole)) return windowLabels(file, whole, inputs)
  return text.split('\n').flatMap((line, i) => {
    if (line.trim() === '') return []
    const label = labelOf(parse(line))
    if (label) return [label]
    const form = '{"site","device","metric","kind","from","to"}, times in epoch ms'
    throw unreadable(`${file}:${i + 1}: no label. A line is ${form}.`)
  })
}

/**
 * An alert is about a label if it is raised between the label's beginning and `graceMs` behind its
 * end, by the device's time or by that of receipt, of the same device, and of the same metric unless
 * one of both is of the device as a whole.
 */
export function judge(
  labels: readonly ReplayLabel[],
  alerts: readonly ReplayedAlert[],
  series: Iterable<SeriesTally>,
  graceMs: number
): Verdict {
  const held = byDevice(series)
  const inside = labels.filter(label =>
    held
      .get(label.device)
      ?.some(s => concerns(label, s) && label.from <= s.lastAt && label.to > s.firstAt)
  )
  const known = byDevice(inside)
  const delays = new Map<ReplayLabel, number>()
  const unexplained = new Set<ReplayedAlert>()
  for (const alert of alerts) {
    const times = [Date.parse(alert.raised.at), alert.receivedAt]
    const about = (known.get(alert.raised.device) ?? []).flatMap(label => {
      if (!concerns(label, alert.raised)) return []
      const at = times.find(each => each >= label.from && each < label.to + graceMs)
      return at === undefined ? [] : [{ label, delayMs: at - label.from }]
    })
    if (about.length === 0) unexplained.add(alert)
    for (const { label, delayMs } of about) {
      delays.set(label, Math.min(delays.get(label) ?? Infinity, delayMs))
    }
  }
  return {
    labels: inside.map(label => ({ ...label, delayMs: delays.get(label) })),
    outside: labels.length - inside.length,
    false: unexplained
  }
}

function byDevice<T extends { device: string }>(all: Iterable<T>): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const each of all) {
    const group = groups.get(each.device)
    if (group) group.push(each)
    else groups.set(each.device, [each])
  }
  return groups
}

/** History that does not name its site is of any. */
export function concerns(
  label: ReplayLabel,
  of: { site: string; device: string; metric: string }
): boolean {
  return (
    label.device === of.device &&
    (label.site === of.site || of.site === DEFAULT_SITE) &&
    (label.metric === of.metric || label.metric === '-' || of.metric === '-')
  )
}

function labelOf(json: unknown): ReplayLabel | undefined {
  if (!isObject(json)) return undefined
  const { site = DEFAULT_SITE, device, metric = '-', kind = 'fault', from, to } = json
  const texts = [site, device, metric, kind].every(text => typeof text === 'string')
  if (!texts || typeof from !== 'number' || typeof to !== 'number' || !(from < to)) return undefined
  return { site, device, metric, kind, from, to } as ReplayLabel
}

function windowLabels(
  file: string,
  windows: Record<string, unknown>,
  inputs: readonly HistoryInput[]
): ReplayLabel[] {
  const names = Object.keys(windows)
  const labels: ReplayLabel[] = []
  let known = 0
  for (const { name, device } of inputs) {
    const full = path.resolve(name).split(path.sep).join('/')
    const key = names.find(each => full.endsWith(`/${each}`))
    if (key === undefined) continue
    known++
    for (const window of windows[key] as unknown[]) {
      const edges = Array.isArray(window) ? window.map(edge => instantOf(String(edge))) : []
      if (edges.length !== 2 || !(edges[0] <= edges[1])) {
        throw unreadable(`${file}: '${key}' has a window that is no pair of times in order.`)
      }
      const span = { from: edges[0], to: edges[1] + 1 }
      labels.push({ site: DEFAULT_SITE, device, metric: '-', kind: 'window', ...span })
    }
  }
  if (known > 0) return labels
  throw unreadable(`${file}: none of its names is the end of a path given, such as '${names[0]}'.`)
}

function readText(file: string): string {
  try {
    const { size } = fs.statSync(file)
    if (size > LABEL_BYTES_MAX) throw new Error('labels may have 64 MiB')
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    throw unreadable(`Cannot read the labels ${file}: ${messageOf(error)}.`, error)
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unreadable(message: string, cause?: unknown): OperationalError {
  return new OperationalError('INPUT_UNREADABLE', message, { cause })
}
