/** What an MQTT 5 broker said in its CONNACK; a field is absent where MQTT's default holds. */
export interface ServerLimits {
  /** QoS 1 publications of ours that it takes at a time. */
  receiveMaximum?: number
  maximumPacketSize?: number
  maximumQoS?: number
  retainAvailable?: boolean
  wildcardSubscriptionAvailable?: boolean
  sharedSubscriptionAvailable?: boolean
  /** How long it keeps our session, s: less than we asked for, perhaps. */
  sessionExpiryInterval?: number
  serverKeepAlive?: number
}

const LIMITS: readonly (keyof ServerLimits)[] = [
  'receiveMaximum',
  'maximumPacketSize',
  'maximumQoS',
  'retainAvailable',
  'wildcardSubscriptionAvailable',
  'sharedSubscriptionAvailable',
  'sessionExpiryInterval',
  'serverKeepAlive'
]

/** @param properties Of a CONNACK; those that name or route this connection alone are left out. */
export function serverLimits(properties: object | undefined): ServerLimits {
  const said = (properties ?? {}) as ServerLimits
  return Object.fromEntries(
    LIMITS.filter(name => said[name] !== undefined).map(name => [name, said[name]])
  )
}

type Send = (
  topic: string,
  payload: string,
  options: { qos: 0 | 1; retain: boolean },
  done: (error?: Error | null) => void
) => void

interface Publication {
  topic: string
  payload: string
  retain: boolean
  resolve: () => void
  reject: (error: Error) => void
}

/** PUBLISH beside topic and payload: fixed header, topic length, packet id, properties length. */
const PACKET_OVERHEAD_BYTES = 1 + 4 + 2 + 2 + 1

/** What one connection publishes: in the order of the calls, as much at a time as the broker takes. */
export class Publications {
  readonly #send: Send
  readonly #waiting: Publication[] = []
  readonly #unanswered = new Set<Publication>()
  #limits: ServerLimits = {}

  constructor(send: Send) {
    this.#send = send
  }

  limit(limits: ServerLimits): void {
    this.#limits = limits
  }

  publish(topic: string, payload: string, retain: boolean): Promise<void> {
    const { maximumPacketSize = Number.POSITIVE_INFINITY } = this.#limits
    const bytes = PACKET_OVERHEAD_BYTES + Buffer.byteLength(topic) + Buffer.byteLength(payload)
    return new Promise((resolve, reject) => {
      if (bytes > maximumPacketSize) {
        const limit = `the upstream broker takes packets of ${maximumPacketSize} bytes at most`
        reject(new Error(`${limit}, this one has ${bytes}`))
        return
      }
      this.#waiting.push({ topic, payload, retain, resolve, reject })
      this.#sendNext()
    })
  }

  /** Ends publications that the broker has not answered. */
  rejectAll(reason: string): void {
    const open = [...this.#unanswered, ...this.#waiting.splice(0)]
    this.#unanswered.clear()
    for (const { reject } of open) reject(new Error(reason))
  }

  #sendNext(): void {
    const { receiveMaximum = 65_535, maximumQoS = 1, retainAvailable = true } = this.#limits
    while (this.#waiting.length > 0 && this.#unanswered.size < receiveMaximum) {
      const publication = this.#waiting.shift() as Publication
      const { topic, payload, retain, resolve, reject } = publication
      this.#unanswered.add(publication)
      const options = { qos: maximumQoS === 0 ? 0 : 1, retain: retain && retainAvailable } as const
      this.#send(topic, payload, options, error => {
        this.#unanswered.delete(publication)
        if (error) reject(error)
        else resolve()
        this.#sendNext()
      })
    }
  }
}
