import type { Clock } from '../../../core/runtime/clock.ts'
import type { Prng } from '../../../core/runtime/prng.ts'
import type { Secret } from '../../../core/runtime/secrets.ts'
import type { UpstreamTls } from './config.ts'
import type { UpstreamFault } from './faults.ts'
import type { ServerLimits } from './publications.ts'
import type { UpstreamTrouble } from './watch.ts'

export interface UpstreamOptions {
  /** Stands as client id in the stored messages: who published is not in an MQTT PUBLISH. */
  name: string
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`. */
  url: string
  mqttVersion: '3.1.1' | '5'
  /** Stable over restarts: the broker's session, and with it what we have not acknowledged, hangs on it. */
  clientId: string
  topics: string[]
  qos: 0 | 1 | 2
  username?: string
  /** Read at each connection, as the files of `tls` are. */
  password?: Secret
  tls?: UpstreamTls
  /** QoS 1 and 2 messages received and not yet acknowledged, 1..65535. When reached, the socket is not read. */
  window: number
  /** A PINGREQ goes out after so much silence; unanswered at 1.5 times, the connection is given up. */
  keepAliveS: number
  /** MQTT 5: asked of the broker, which may grant less. */
  sessionExpiryS: number
  /** Connected without a message that is no retained one; null: never looked at. */
  silentAfterMs: number | null
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
  clientId: string
  mqttVersion: '3.1.1' | '5'
  /** `connected` once the subscription is answered; `waiting` for the next attempt. */
  state: 'connecting' | 'connected' | 'waiting' | 'stopped'
  /** Of the state, epoch ms. */
  sinceAt: number
  /** Connections that the broker accepted. */
  connects: number
  /** PUBLISH packets, repeated ones included. */
  received: number
  /** PUBACKs and PUBRECs sent. */
  acknowledged: number
  /** Received with QoS 1 or 2 and not yet acknowledged. */
  inflight: number
  /** Larger than the log takes: acknowledged and lost, or they would come again for ever. */
  oversized: number
  /** Under `alerts/`: acknowledged and not taken, as they tell of readings and are none. */
  alerts: number
  /** Why the last connection failed or ended; undefined while all is well. */
  lastError?: string
  /** The kind of `lastError`. */
  fault?: UpstreamFault
  /** What a person should look at, though nothing may be failing at this moment. */
  trouble?: UpstreamTrouble
  /** Epoch ms. */
  connectedAt?: number
  /** By filter: the QoS the broker granted, or why it refused. */
  granted: Record<string, number | string>
  retained: 'keep' | 'mark' | 'drop'
  /** What an MQTT 5 broker said it takes, and how long it keeps the session. */
  server?: ServerLimits
}

export interface UpstreamConditions {
  /** Silence allowed on a new connection until the subscription is answered. */
  connectWaitMs: number
  backOffMsMin: number
  backOffMsMax: number
  /** Cap of the back-off while another client takes the session over again and again. */
  takeoverBackOffMsMax: number
  /** Without one connection for so long, it is told as an error. */
  neverConnectedMs: number
  /** Messages received and no acknowledgement for so long: told as an error. */
  stuckMs: number
  /** How long `stop` waits for stores whose acknowledgements are owed. */
  stopWaitMs: number
  prng: Prng
  clock: Clock
}
