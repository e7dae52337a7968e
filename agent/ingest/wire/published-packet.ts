import { idAt } from './packet-check.ts'

/** A PUBLISH as aedes' parser would give it. */
export interface PublishedPacket {
  cmd: 'publish'
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
  dup: boolean
  messageId: number | undefined
  length: number
}

/**
 * @param body Of a PUBLISH that `packetFault` found nothing in; the payload is a view into it.
 */
export function publishedPacket(first: number, body: Buffer): PublishedPacket {
  const topicEnd = 2 + idAt(body, 0)
  const qos = ((first >> 1) & 3) as 0 | 1 | 2
  return {
    cmd: 'publish',
    topic: body.toString('utf8', 2, topicEnd),
    payload: body.subarray(qos > 0 ? topicEnd + 2 : topicEnd),
    qos,
    retain: (first & 1) !== 0,
    dup: (first & 8) !== 0,
    messageId: qos > 0 ? idAt(body, topicEnd) : undefined,
    length: body.length
  }
}
