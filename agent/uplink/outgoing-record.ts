/** A record on its way to Kafka. */
export interface OutgoingRecord {
  topic: string
  key: string
  value: Buffer
  /** Epoch ms. */
  timestampMs: number
  headers: Record<string, string>
  /** Name of the route that made it: a dead letter tells. */
  route?: string
  /** The message's own bytes, where `value` was made of them: a dead letter keeps these. */
  original?: Buffer
}

/**
 * What it costs in a request before compression: payload, key, headers and framing (Kafka's record
 * format v2, whose lengths take a byte or two). Characters are taken for bytes.
 */
export function outgoingBytes(record: OutgoingRecord): number {
  let bytes = 11 + record.key.length + record.value.length
  for (const name in record.headers) bytes += 2 + name.length + record.headers[name].length
  return bytes
}

/** The same of all of them. */
export function totalBytes(records: readonly OutgoingRecord[]): number {
  let bytes = 0
  for (const record of records) bytes += outgoingBytes(record)
  return bytes
}
