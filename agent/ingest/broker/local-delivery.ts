import { filterMatches } from '../topic-filter.ts'
import { LocalAudience } from '../wire/local-audience.ts'

/*
 * What is done about aedes' delivery to local subscribers, through functions of it that its types do
 * not show (aedes 1.2.0, pinned).
 */

type Deliver = (packet: object, done: () => void) => void
type Subscribe = (filter: string, deliver: Deliver, done: () => void) => void

/** What of aedes is replaced. */
export interface Deliverer {
  subscribe: Subscribe
  unsubscribe: Subscribe
  mq: TopicEmitter
}

interface TopicEmitter {
  on(filter: string, ...rest: unknown[]): unknown
  removeListener(filter: string, ...rest: unknown[]): unknown
}

/**
 * aedes waits for every subscriber's socket before it goes on with a publisher, and has room for a
 * hundred messages that wait: one subscriber that reads nothing would stop all devices.
 */
export function letNobodyWaitForSubscribers(aedes: Deliverer): void {
  const { subscribe, unsubscribe } = aedes
  const unwaited = new WeakMap<Deliver, Deliver>()
  aedes.subscribe = (filter, deliver, done) => {
    const own: Deliver = (packet, next) => {
      deliver(packet, () => {})
      next()
    }
    unwaited.set(deliver, own)
    subscribe.call(aedes, filter, own, done)
  }
  aedes.unsubscribe = (filter, deliver, done) =>
    unsubscribe.call(aedes, filter, unwaited.get(deliver) ?? deliver, done)
}

/** Follows what is subscribed; aedes' own listeners, which were there before, are not of it. */
export function audienceOf({ mq }: Deliverer): LocalAudience {
  const audience = new LocalAudience()
  const { on, removeListener } = mq
  mq.on = (filter, ...rest) => {
    audience.add(filter)
    return on.call(mq, filter, ...rest)
  }
  mq.removeListener = (filter, ...rest) => {
    audience.remove(filter)
    return removeListener.call(mq, filter, ...rest)
  }
  return audience
}

interface SubscribingClient {
  clean: boolean
  _parser: { prependListener(event: 'packet', listener: (packet: ParsedPacket) => void): unknown }
}

interface ParsedPacket {
  cmd: string
  subscriptions?: { qos: number }[]
}

/**
 * A session that outlives its connection would queue for an absent subscriber without end: it gets
 * QoS 0, and the SUBACK says so. aedes grants what the packet asks for, so it is lowered there.
 */
export function lowerKeptSubscriptions(client: SubscribingClient): void {
  client._parser.prependListener('packet', ({ cmd, subscriptions = [] }) => {
    if (cmd !== 'subscribe' || client.clean) return
    for (const subscription of subscriptions) subscription.qos = 0
  })
}

/**
 * A retained message goes out with the QoS that was granted at most (§3.8.4): aedes looks that up by
 * the topic, which finds no subscription with a wildcard.
 *
 * @param subscriptions The client's, by filter.
 */
export function lowered<P extends { topic: string; qos: 0 | 1 | 2; retain: boolean }>(
  subscriptions: Record<string, { qos: number }>,
  packet: P
): P {
  if (!packet.retain || packet.qos === 0) return packet
  const granted = Object.entries(subscriptions)
    .filter(([filter]) => filterMatches(filter, packet.topic))
    .map(([, { qos }]) => qos)
  packet.qos = Math.min(packet.qos, Math.max(0, ...granted)) as 0 | 1 | 2
  return packet
}
