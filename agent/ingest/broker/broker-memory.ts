import type { OpenMessage, OpenMessages } from './open-messages.ts'
import type { Subscriptions } from './subscriptions.ts'

type Session = { id: string }
type Packet = OpenMessage & { messageId?: number }
type Subscribed = { topic: string; qos: number }

/** What of aedes' memory of sessions is replaced or used (aedes 1.2.0, pinned). */
export interface Persistence {
  addSubscriptions(session: Session, subscriptions: Subscribed[]): Promise<void>
  cleanSubscriptions(session: Session): Promise<unknown>
  /** An empty payload takes it out. */
  storeRetained(packet: { topic: string; payload: Uint8Array }): Promise<void>
  subscriptionsByTopic(topic: string): Promise<readonly unknown[]>
  outgoingEnqueueCombi(): Promise<void>
  outgoingUpdate(): Promise<void>
  outgoingClearMessageId(): Promise<undefined>
  incomingStorePacket(session: Session, packet: Packet): Promise<void>
  /** Rejects when there is none. */
  incomingGetPacket(session: Session, packet: Packet): Promise<object>
  incomingDelPacket(session: Session, packet: Packet): Promise<void>
  cleanIncoming(session: Session): Promise<void>
}

/**
 * Bounds what aedes remembers of sessions. Open QoS 2 messages are kept as digests, and counted. No
 * subscription of a kept session has a QoS above 0, so nothing is ever queued for a client that is
 * away, and aedes need not look at every message for whom.
 */
export function replaceMemory(
  persistence: Persistence,
  open: OpenMessages,
  subscriptions: Subscriptions
): void {
  const nobody = Promise.resolve([])
  const done = Promise.resolve(undefined)
  const addSubscriptions = persistence.addSubscriptions.bind(persistence)
  const replaced: Omit<Persistence, 'cleanSubscriptions' | 'storeRetained'> = {
    // aedes hands in all of a SUBSCRIBE, those that were refused with them.
    addSubscriptions: (client, wanted) => {
      const granted = subscriptions.filtersOf(client)
      const kept = wanted.filter(({ topic }) => granted.has(topic))
      return addSubscriptions(
        client,
        kept.map(each => ({ ...each, qos: 0 }))
      )
    },
    subscriptionsByTopic: () => nobody,
    outgoingEnqueueCombi: () => done,
    outgoingUpdate: () => done,
    outgoingClearMessageId: () => done,
    incomingStorePacket: async ({ id }, packet) => open.open(id, idOf(packet), packet),
    incomingGetPacket: async ({ id }, packet) => {
      if (!open.has(id, idOf(packet))) throw new Error('no such packet')
      return {}
    },
    incomingDelPacket: async ({ id }, packet) => open.close(id, idOf(packet)),
    cleanIncoming: async ({ id }) => open.forget(id)
  }
  Object.assign(persistence, replaced)
}

function idOf({ messageId = 0 }: Packet): number {
  return messageId
}
