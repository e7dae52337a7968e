/**
 * What of an MQTT 5 PUBLISH's properties is stored with the message. The names are those of the
 * JSON in the stored record; all are absent for MQTT 3.1.1.
 */
export interface MessageProperties {
  /** A name may stand several times in a PUBLISH. */
  userProperties?: Record<string, string | string[]>
  contentType?: string
  /** What was left of the message's life when it came, s. */
  messageExpiryS?: number
  responseTopic?: string
  /** base64 */
  correlationData?: string
  /** The payload is said to be UTF-8 text. */
  payloadIsText?: true
}

/** Properties of the PUBLISH itself, by the name of their Kafka header. */
const OWN: Readonly<Record<string, Exclude<keyof MessageProperties, 'userProperties'>>> = {
  'content-type': 'contentType',
  'message-expiry': 'messageExpiryS',
  'response-topic': 'responseTopic',
  'correlation-data': 'correlationData'
}

/**
 * One property as a Kafka header's text.
 *
 * @param properties As they were stored: read from disk, so of any shape.
 * @param name `content-type`, `message-expiry` (s), `response-topic`, `correlation-data` (base64), or
 *   that of a user property; one that stands several times is joined by commas.
 * @returns undefined when the message has none.
 */
export function propertyText(
  properties: Readonly<Record<string, unknown>>,
  name: string
): string | undefined {
  if (Object.hasOwn(OWN, name)) {
    const own = textOf(properties[OWN[name]])
    if (own !== undefined) return own
  }
  const user = properties.userProperties
  if (typeof user !== 'object' || user === null || !Object.hasOwn(user, name)) return undefined
  const value = (user as Record<string, unknown>)[name]
  return Array.isArray(value) ? value.map(textOf).join(',') : textOf(value)
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}
