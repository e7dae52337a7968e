import { expect, test } from 'vitest'
import { Admission, type AdmissionOptions } from '../../../../agent/ingest/broker/admission.ts'

function admission(options: Partial<AdmissionOptions> = {}): Admission {
  return new Admission({
    topicBytesMax: 100,
    topicLevelsMax: 3,
    packetBytesMax: 1000,
    ...options
  })
}

test('limits count bytes, not characters', () => {
  expect(admission().refuses('é'.repeat(50), 0)).toBeUndefined()
  expect(admission().refuses('é'.repeat(51), 0)).toBe('topic_too_long')
  expect(admission().refuses('a/b/c', 1000)).toBeUndefined()
  expect(admission().refuses('a/b/c/d', 0)).toBe('topic_too_deep')
  expect(admission().refuses('a', 1001)).toBe('packet_too_large')
})
