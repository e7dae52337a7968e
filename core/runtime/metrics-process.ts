import { performance } from 'node:perf_hooks'
import type { Metrics } from './metrics.ts'

/** A thread beside the main one; absent where there is none just now. */
export interface ThreadWork {
  /** How long its event loop has been at work, over all its lives, ms. */
  readonly busyMs?: number
  /** How often it ended by a fault. */
  readonly faults?: number
}

export interface ProcessFacts {
  version: string
  /** Of the configuration in effect, secrets left out; it may change. */
  configHash: () => string
  /** By name, from a closed list. */
  threads?: () => Readonly<Record<string, ThreadWork | undefined>>
}

/**
 * What any process of ours tells of itself, beside the library's own metrics.
 *
 * Threads tell how much of the time they are at work rather than how late their timers are: it is read
 * from outside, while a timer in each would wake an idle one a hundred times a second.
 */
export function registerProcessMetrics(metrics: Metrics, facts: ProcessFacts): void {
  const { version, configHash, threads = noThreads } = facts
  metrics.gauges(
    'fieldline_build_info',
    '1; which version runs, on which Node.js.',
    ['version', 'node'],
    () => ({ [version]: { [process.versions.node]: 1 } })
  )
  metrics.gauges(
    'fieldline_config_info',
    '1; the configuration in effect, as `/status` names it in configHash.',
    'hash',
    () => ({ [configHash()]: 1 })
  )
  metrics.counters(
    'fieldline_thread_busy_seconds_total',
    'How long an event loop has been at work rather than waiting, by thread.',
    'thread',
    () => {
      const busyMs = { main: performance.eventLoopUtilization().active, ...work('busyMs') }
      return Object.fromEntries(Object.entries(busyMs).map(([thread, ms]) => [thread, ms / 1000]))
    }
  )
  metrics.counters(
    'fieldline_thread_faults_total',
    'How often a thread ended by a fault of ours and was started again.',
    'thread',
    () => work('faults')
  )

  function work(of: keyof ThreadWork): Record<string, number> {
    const values = Object.entries(threads()).map(([thread, done]) => [thread, done?.[of]] as const)
    return Object.fromEntries(
      values.filter((pair): pair is [string, number] => pair[1] !== undefined)
    )
  }
}

function noThreads(): Record<string, ThreadWork> {
  return {}
}
