import { ALERT_CONTENT_TYPE, decodeAlertFrame } from '../../core/contract/alert-event.ts'
import { formatEventId } from '../../core/contract/event-id.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import { deviceKey } from '../../core/contract/topics.ts'
import type { LogRecord } from '../../core/log/reader.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'
import { toDeadLetter } from './dead-letter.ts'

/** Alert frame → one Kafka record an event, each with the frame's id and its number in it. */
export function renderAlerts(
  agentId: string,
  alertTopic: string,
  deadLetterTopic: string
): (record: LogRecord, now: number) => OutgoingRecord[] {
  return (record, now) => {
    const frame = decodeAlertFrame(record.payload)
    if (!frame) {
      const unread: OutgoingRecord = {
        topic: '',
        key: agentId,
        value: Buffer.from(record.payload),
        timestampMs: now,
        headers: { [HEADERS.id]: formatEventId(agentId, record.epoch, record.offset) }
      }
      const detail = 'the alert log holds a record that is no alert frame'
      return [toDeadLetter(unread, deadLetterTopic, 'decode', 'unknown_record', detail)]
    }
    return frame.events.map((event, index) => ({
      topic: alertTopic,
      key: deviceKey(event.data.site, event.data.device),
      value: Buffer.from(JSON.stringify(event)),
      // Event time may lie beyond what the topic takes; it stands in the event.
      timestampMs: now,
      headers: {
        'content-type': ALERT_CONTENT_TYPE,
        [HEADERS.id]: formatEventId(agentId, record.epoch, record.offset, index)
      }
    }))
  }
}
