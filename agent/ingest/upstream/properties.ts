import type { MessageProperties } from '../../../core/contract/message-properties.ts'

/** Properties of an MQTT 5 PUBLISH, as the packet parser gives them. */
export interface PublishProperties {
  userProperties?: Record<string, string | string[]>
  contentType?: string
  messageExpiryInterval?: number
  responseTopic?: string
  correlationData?: Uint8Array
  payloadFormatIndicator?: boolean
}

/** @returns What is stored of them; undefined when that is nothing. */
export function storedProperties(
  properties: PublishProperties | undefined
): (MessageProperties & Record<string, unknown>) | undefined {
  if (!properties) return undefined
  const { userProperties, contentType, messageExpiryInterval, responseTopic } = properties
  const { correlationData, payloadFormatIndicator } = properties
  const stored: MessageProperties & Record<string, unknown> = {
    ...(userProperties && { userProperties: { ...userProperties } }),
    ...(contentType !== undefined && { contentType }),
    ...(messageExpiryInterval !== undefined && { messageExpiryS: messageExpiryInterval }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData && { correlationData: Buffer.from(correlationData).toString('base64') }),
    ...(payloadFormatIndicator && { payloadIsText: true as const })
  }
  return Object.keys(stored).length > 0 ? stored : undefined
}

/** What they take in the stored record, bytes. */
export function propertiesBytes(properties: Record<string, unknown> | undefined): number {
  return properties ? Buffer.byteLength(JSON.stringify(properties)) : 0
}
