/** What kafkajs hands to a partitioner and keeps while it sends; opaque to us but for identity. */
export interface OutgoingMessage {
  key?: unknown
  value: unknown
  headers?: unknown
  timestamp?: unknown
}

export interface GroupMessagesArguments {
  topic: string
  partitionMetadata: readonly { partitionId: number; leader: number }[]
  messages: readonly OutgoingMessage[]
  partitioner: (input: {
    topic: string
    partitionMetadata: readonly { partitionId: number; leader: number }[]
    message: OutgoingMessage
  }) => number
}

/**
 * Replaces `producer/groupMessagesPerPartition`, which copies a partition's whole array for every
 * message. The order within a partition is kept.
 */
export function groupMessagesPerPartition({
  topic,
  partitionMetadata,
  messages,
  partitioner
}: GroupMessagesArguments): Record<string, OutgoingMessage[]> {
  const groups: Record<string, OutgoingMessage[]> = {}
  if (partitionMetadata.length === 0) return groups
  for (const message of messages) {
    const partition = partitioner({ topic, partitionMetadata, message })
    groups[partition] ??= []
    groups[partition].push(message)
  }
  return groups
}
