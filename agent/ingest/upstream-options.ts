import type { Clock } from '../../core/runtime/clock.ts'
import type { Prng } from '../../core/runtime/prng.ts'

export interface UpstreamOptions {
  /** Stands as client id in the stored messages: who published is not in an MQTT PUBLISH. */
  name: string
  /** `mqtt://HOST[:PORT]` or `mqtts://HOST[:PORT]`. */
  url: string
  /** Stable over restarts: the broker's session, and with it what we have not acknowledged, hangs on it. */
  clientId: string
  topics: string[]
  qos: 0 | 1 | 2
  username?: string
  password?: string
  /** QoS 1 and 2 messages received and not yet acknowledged, 1..65535. When reached, the socket is not read. */
  window: number
  /** What the broker sends again at each subscription: `keep` as new, `mark` as retained, `drop`. */
  retained: 'keep' | 'mark' | 'drop'
  /** Filters that this client id may still have in the broker's session, as `onTopics` last told. */
  previousTopics?: string[]
  /** To be remembered and passed as `previousTopics` at the next start. */
  onTopics?: (topics: string[]) => void
}

export interface UpstreamStatus {
  name: string
  url: string
  /** `connected` once the subscription is answered; `waiting` for the next attempt. */
  state: 'connecting' | 'connected' | 'waiting' | 'stopped'
  /** Connections that the broker accepted. */
  connects: number
  /** PUBLISH packets, repeated ones included. */
  received: number
  /** Larger than the log takes: acknowledged and lost, or they would come again for ever. */
  oversized: number
  /** Under `alerts/`: acknowledged and not taken, as they tell of readings and are none. */
  alerts: number
  /** Why the last connection failed or ended; undefined while all is well. */
  lastError?: string
  /** Epoch ms. */
  connectedAt?: number
}

export interface UpstreamConditions {
  /** A PINGREQ goes out after so much silence; unanswered at 1.5 times, the connection is given up. */
  keepaliveS: number
  /** Silence allowed on a new connection until the subscription is answered. */
  connectWaitMs: number
  backOffMsMin: number
  backOffMsMax: number
  /** How long `stop` waits for stores whose acknowledgements are owed. */
  stopWaitMs: number
  prng: Prng
  clock: Clock
}
