/** A record on its way to Kafka. */
export interface OutgoingRecord {
  topic: string
  key: string
  value: Buffer
  /** Epoch ms. */
  timestampMs: number
  headers: Record<string, string>
}

/** What it costs in a batch, about: payload, key, headers and framing. */
export function outgoingBytes(record: OutgoingRecord): number {
  let bytes = 24 + record.key.length + record.value.length
  for (const name in record.headers) bytes += 4 + name.length + record.headers[name].length
  return bytes
}
