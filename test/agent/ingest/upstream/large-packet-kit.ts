/* Packets built by hand, for what no library would send. */

export interface LargePublish {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  packetId: number
  /** In 5 with no properties. */
  mqttVersion?: '3.1.1' | '5'
}

export function packetOf(first: number, body: Buffer): Buffer {
  const head = [first]
  let rest = body.length
  do {
    head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from(head), body])
}

export function publishOf({ topic, payload, qos, packetId, mqttVersion }: LargePublish): Buffer {
  const body = [
    Buffer.from([topic.length >> 8, topic.length & 0xff]),
    Buffer.from(topic),
    Buffer.from(qos > 0 ? [packetId >> 8, packetId & 0xff] : []),
    Buffer.from(mqttVersion === '5' ? [0] : []),
    payload
  ]
  return packetOf(0x30 | (qos << 1), Buffer.concat(body))
}
