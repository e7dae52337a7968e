/** Kafka header names of Fieldline. Few and short: each costs bytes in every record. */
export const HEADERS = {
  id: 'fl-id',
  topic: 'fl-topic',
  received: 'fl-received',
  observed: 'fl-observed',
  dup: 'fl-dup',
  retained: 'fl-retained',
  replayed: 'fl-replayed',
  clock: 'fl-clock',
  replayOf: 'fl-replay-of',
  stage: 'fl-stage',
  reason: 'fl-reason',
  detail: 'fl-detail',
  /** Of a dead letter: the route that failed; absent when no route matched. */
  route: 'fl-route',
  /** Of a dead letter whose value was cut: how many bytes there were. */
  bytes: 'fl-bytes',
  /** Of a central detector's dead letter: TOPIC/PARTITION/OFFSET of the record, which is in Kafka. */
  record: 'fl-record',
  /** Of a dead letter that no route matched: what its routes may ask for when it is sent again. */
  qos: 'fl-qos',
  retain: 'fl-retain'
} as const

/** Where a record failed for good. */
export type DeadLetterStage = 'route' | 'decode' | 'produce'

/** Why: the closed list behind `fl-reason` and the metric's label. */
export type DeadLetterReason =
  | 'no_route'
  | 'not_json'
  | 'not_a_number'
  | 'no_values'
  | 'too_deep'
  | 'too_many_values'
  | 'unknown_record'
  | 'topic_invalid'
  | 'too_large'
  | 'invalid_timestamp'
  | 'refused'
