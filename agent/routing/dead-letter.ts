import type { DeadLetterReason, DeadLetterStage } from '../../core/contract/headers.ts'
import { HEADERS } from '../../core/contract/headers.ts'
import type { OutgoingRecord } from '../uplink/outgoing-record.ts'

/** Longest explanation carried in `fl-detail`, in characters. */
const DETAIL_MAX = 500
/** A record too large for Kafka is too large as a dead letter too: its head is kept. */
const KEPT_BYTES_MAX = 64 << 10

/** Says why a record can never be stored where it belongs, and keeps its bytes. */
export function toDeadLetter(
  record: OutgoingRecord,
  topic: string,
  stage: DeadLetterStage,
  reason: DeadLetterReason,
  detail: string
): OutgoingRecord {
  const cut = reason === 'too_large' && record.value.length > KEPT_BYTES_MAX
  const cutDetail = cut ? `; first ${KEPT_BYTES_MAX} of ${record.value.length} bytes kept` : ''
  return {
    ...record,
    topic,
    value: cut ? record.value.subarray(0, KEPT_BYTES_MAX) : record.value,
    headers: {
      ...record.headers,
      [HEADERS.stage]: stage,
      [HEADERS.reason]: reason,
      [HEADERS.detail]: `${detail.slice(0, DETAIL_MAX)}${cutDetail}`
    }
  }
}
