import type { Clock } from '../../../core/runtime/clock.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { PublishedPacket } from './published-packet.ts'

export interface GateHooks {
  /** Whether aedes must see messages on this topic: somebody on this box has subscribed to it. */
  isWatched(topic: string): boolean
  /** Stores a message that nobody watches; `done` without an error means it may be acknowledged. */
  publish(packet: PublishedPacket, done: (error?: Error | null) => void): void
  /** The connection is about to be closed for this, a word for counters. */
  refused(reason: 'packet_too_large' | 'packet_too_slow' | 'topic_malformed'): void
  /** The CONNECT was answered with a refusal. */
  answered(why: string): void
}

export interface GateOptions {
  /** Of a packet's body. */
  packetBytesMax: number
  budget: ByteBudget
  clock: Clock
}
