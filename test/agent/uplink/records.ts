import type { OutgoingRecord } from '../../../agent/uplink/outgoing-record.ts'

/** Records for one topic, keyed so that seven devices take turns; `fl-id` is the number. */
export function recordsOf(topic: string, first: number, end: number): OutgoingRecord[] {
  return Array.from({ length: end - first }, (_, n) => ({
    topic,
    key: `site/device-${(first + n) % 7}`,
    value: Buffer.from(String(first + n)),
    timestampMs: Date.now(),
    headers: { 'fl-id': String(first + n) }
  }))
}
