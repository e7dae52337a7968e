import type { LiveLook } from '../../detector/live/live-view.ts'
import type { Verdict } from '../agent-view/verdict.ts'
import { count } from '../log/text.ts'
import type { DetectorAnswer } from './answer.ts'

/** Is all well with a central detector? */
export function detectorVerdict(
  { state, error, partitions }: DetectorAnswer,
  alerts: Pick<LiveLook['alerts'], 'total' | 'devices' | 'critical'>
): Verdict {
  if (state === 'stopped') {
    return { level: 'critical', title: 'It stops', text: 'It reads nothing any more.' }
  }
  if (state === 'waiting') {
    const todo = 'It is tried again by itself; see that Kafka runs and lets it in.'
    const text = `Nothing is read until then. ${error ?? ''}`.trim()
    return { level: 'warning', title: 'Kafka is away or refuses', text, todo }
  }
  if (state === 'joining') {
    const text = error ?? 'Kafka shares the partitions over the detectors of the group.'
    return { level: 'info', title: 'Joining its group', text }
  }
  const held = partitions.filter(partition => partition.state === 'waiting')
  if (held.length > 0) {
    const text = held.find(partition => partition.error)?.error ?? 'What keeps them is not known.'
    return { level: 'warning', title: `${count(held.length, 'partition')} cannot be read`, text }
  }
  if (partitions.length === 0) {
    const text = 'Other detectors of its group have all of them, or the topics are missing.'
    return { level: 'info', title: 'No partitions', text }
  }
  if (alerts.total === 0) {
    return { level: 'ok', title: 'All is well', text: 'Telemetry is read. No open alerts.' }
  }
  const severe = alerts.critical > 0 ? `, ${alerts.critical} of them critical` : ''
  return {
    level: alerts.critical > 0 ? 'critical' : 'warning',
    title: `${count(alerts.devices, 'device')} ${alerts.devices === 1 ? 'needs' : 'need'} a look`,
    text: `${count(alerts.total, 'open alert')}${severe}. Telemetry is read.`
  }
}
