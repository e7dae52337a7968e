import type { DeadLetterReason, DeadLetterStage } from '../../core/contract/headers.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'

/** Longest explanation carried in `fl-detail`, in characters. */
const DETAIL_MAX = 500
/** A record too large for Kafka is too large as a dead letter too: its head is kept. */
const KEPT_BYTES_MAX = 64 << 10

/** Says why a record can never be stored where it belongs, and keeps the message's own bytes. */
export function toDeadLetter(
  record: OutgoingRecord,
  topic: string,
  stage: DeadLetterStage,
  reason: DeadLetterReason,
  detail: string
): OutgoingRecord {
  const { route, original, ...rest } = record
  const value = original ?? record.value
  const cut = reason === 'too_large' && value.length > KEPT_BYTES_MAX
  const cutDetail = cut ? `; first ${KEPT_BYTES_MAX} of ${value.length} bytes kept` : ''
  return {
    ...rest,
    topic,
    value: cut ? value.subarray(0, KEPT_BYTES_MAX) : value,
    headers: {
      ...record.headers,
      ...(route === undefined ? {} : { [HEADERS.route]: route }),
      ...(cut ? { [HEADERS.bytes]: String(value.length) } : {}),
      [HEADERS.stage]: stage,
      [HEADERS.reason]: reason,
      [HEADERS.detail]: `${detail.slice(0, DETAIL_MAX)}${cutDetail}`
    }
  }
}
