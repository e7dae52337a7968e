import type { DecodedPayload } from '../../core/contract/reading.ts'
import { deviceKey } from '../../core/contract/topics.ts'
import { DeviceRate } from './device-rate.ts'

/** A stored message, as far as it tells of its device. */
export interface Sighting {
  site: string
  device: string
  /** MQTT. */
  topic: string
  /** Who published it; of an upstream broker, its name in the configuration. */
  clientId: string
  upstream: boolean
  /** Agent's, epoch ms. */
  receivedAt: number
  /** The agent's clock was not believed, and could not be corrected since. */
  unsynced: boolean
}

export interface DeviceClient {
  id: string
  upstream?: true
  lastSeenAt: number
}

export interface DeviceValue {
  metric: string
  value: number
  unit?: string
  /** Received at, epoch ms. */
  at: number
}

/** What is known of a device: plain data, as the file and `/devices` have it. */
export interface DeviceFacts {
  site: string
  device: string
  /** By the agent's clock, epoch ms. */
  firstSeenAt: number
  lastSeenAt: number
  /** MQTT messages since it is known. */
  messages: number
  /** MQTT topic of the last one. */
  topic: string
  /** Who spoke for it, the last one first: four at most. */
  clients: DeviceClient[]
  /** How many have, as far as is known. */
  clientsKnown: number
  /** In the order of their first appearance. */
  values: DeviceValue[]
  /** More metrics came than are kept. */
  moreValues?: true
}

/** For a snapshot: what a rate goes on from. */
export interface StoredDevice extends DeviceFacts {
  level: number
  rateSinceAt: number
  unsynced?: true
}

export interface DeviceView extends DeviceFacts {
  /** Messages a second, over about a minute. */
  rate: number
}

export const DEVICE_SORTS = ['heard', 'rate', 'name', 'new'] as const
export type DeviceSort = (typeof DEVICE_SORTS)[number]

/** Which devices somebody wants to see; plain data, it may come from another thread. */
export interface DevicesRequest {
  /** Those whose `site/device` or client holds this text, in any case of letters. */
  find?: string
  /** Those that were not heard for so long. */
  silentForMs?: number
  /** `heard`: the last one first. */
  sort?: DeviceSort
  limit?: number
}

export interface DevicesLook {
  /** When it was asked, epoch ms. */
  at: number
  known: number
  /** Made room for others, since the registry began. */
  forgotten: number
  devicesMax: number
  matching: number
  shown: DeviceView[]
}

interface Entry extends DeviceFacts {
  rate: DeviceRate
  unsynced: boolean
  /** By the last sighting: the one before, and the one after. */
  older: Entry | undefined
  newer: Entry | undefined
}

const METRICS_MAX = 32
/** Of all devices together, a device: a few with very many metrics must not take the memory. */
const VALUES_PER_DEVICE = 8
const CLIENTS_MAX = 4
/** Longer texts are cut: they are shown, and no name of anything. */
const TEXT_MAX = 256
/** Of a payload that is an array: what came before is not the last value. */
const ELEMENTS_MAX = 64
const LIMIT = 100

/**
 * The devices that were heard, learned from what they send.
 *
 * Bounded: at `devicesMax` the one unheard for longest makes room and is counted; a metric beyond 32
 * of a device, or beyond 8 a device in the mean, is not kept. Pure: rates and times are those of the
 * sightings, so the same log gives the same registry.
 */
export class DeviceRegistry {
  readonly devicesMax: number
  /** By site, then device: no text is made for a look-up. */
  readonly #sites = new Map<string, Map<string, Entry>>()
  #known = 0
  #oldest: Entry | undefined
  #newest: Entry | undefined
  #forgotten = 0
  #valuesKept = 0

  constructor(devicesMax: number) {
    this.devicesMax = devicesMax
  }

  get counts(): { known: number; forgotten: number } {
    return { known: this.#known, forgotten: this.#forgotten }
  }

  /**
   * Counts a message, and keeps its values if they are known. Sightings come in the order of the log.
   */
  see(sighting: Sighting, payloads?: readonly DecodedPayload[]): void {
    const { receivedAt, clientId, upstream } = sighting
    const entry = this.#sites.get(sighting.site)?.get(sighting.device) ?? this.#add(sighting)
    if (entry.unsynced && !sighting.unsynced) {
      // What it was before is not known: better the first time that is.
      entry.unsynced = false
      entry.firstSeenAt = receivedAt
      entry.rate = new DeviceRate(receivedAt)
    } else if (entry.messages > 0) entry.rate.count(receivedAt)
    entry.messages++
    entry.lastSeenAt = receivedAt
    if (entry.topic !== sighting.topic) entry.topic = cut(sighting.topic)
    const client = entry.clients[0]
    if (client.id === clientId && (client.upstream === true) === upstream) {
      client.lastSeenAt = receivedAt
    } else this.#heardThrough(entry, cut(clientId), upstream, receivedAt)
    this.#touch(entry)
    if (payloads) this.#keepIn(entry, payloads, receivedAt)
  }

  /** Keeps the last values of a device that was seen. */
  keep(site: string, device: string, payloads: readonly DecodedPayload[], at: number): void {
    const entry = this.#sites.get(site)?.get(device)
    if (entry) this.#keepIn(entry, payloads, at)
  }

  #keepIn(entry: Entry, payloads: readonly DecodedPayload[], at: number): void {
    for (let n = Math.max(0, payloads.length - ELEMENTS_MAX); n < payloads.length; n++) {
      const { values } = payloads[n]
      for (let i = 0; i < values.length; i++) {
        const { metric, value, unit } = values[i]
        // Most payloads have the same leaves in the same order.
        const guess = entry.values[i]
        const known =
          guess?.metric === metric ? guess : entry.values.find(kept => kept.metric === metric)
        if (known) {
          known.value = value
          known.at = at
          if (known.unit !== unit) setUnit(known, unit)
        } else this.#addValue(entry, { metric, value, at, ...(unit === undefined ? {} : { unit }) })
      }
    }
  }

  /** @param now Agent's wall clock, epoch ms. */
  look(request: DevicesRequest, now: number): DevicesLook {
    const { find = '', silentForMs, sort = 'heard', limit = LIMIT } = request
    const wanted = find.toLowerCase()
    const matching: Entry[] = []
    for (let entry = this.#newest; entry; entry = entry.older) {
      if (silentForMs !== undefined && now - entry.lastSeenAt < silentForMs) continue
      if (wanted === '' || holds(entry, wanted)) matching.push(entry)
    }
    if (sort === 'rate') sortBy(matching, entry => -entry.rate.perSecond(now))
    else if (sort === 'new') sortBy(matching, entry => -entry.firstSeenAt)
    else if (sort === 'name') matching.sort(byName)
    return {
      at: now,
      ...this.counts,
      devicesMax: this.devicesMax,
      matching: matching.length,
      shown: matching.slice(0, limit).map(entry => ({
        ...factsOf(entry),
        rate: Math.round(entry.rate.perSecond(now) * 1e4) / 1e4
      }))
    }
  }

  /** All of it, the one heard last first; what happens later does not change it. */
  snapshot(): { forgotten: number; devices: StoredDevice[] } {
    const devices: StoredDevice[] = []
    for (let entry = this.#newest; entry; entry = entry.older) {
      const { level, sinceAt: rateSinceAt } = entry.rate
      const unsynced = entry.unsynced ? ({ unsynced: true } as const) : {}
      devices.push({ ...factsOf(entry), level, rateSinceAt, ...unsynced })
    }
    return { forgotten: this.#forgotten, devices }
  }

  /** Of an empty registry; fewer may be kept now than were then. */
  restore(state: { forgotten: number; devices: readonly StoredDevice[] }): void {
    this.#forgotten = state.forgotten
    for (const stored of state.devices.slice(0, this.devicesMax).reverse()) {
      const { level, rateSinceAt, unsynced, values, ...facts } = stored
      const entry: Entry = {
        values: [],
        rate: new DeviceRate(rateSinceAt, level, facts.lastSeenAt),
        ...{ unsynced: unsynced === true, older: undefined, newer: undefined },
        ...facts
      }
      this.#insert(entry)
      for (const value of values) this.#addValue(entry, value)
    }
  }

  #add({ site, device, topic, clientId, upstream, receivedAt, unsynced }: Sighting): Entry {
    if (this.#known >= this.devicesMax && this.#oldest) this.#forget(this.#oldest)
    // Node.js 20 gives an object that begins with a spread a hidden class of its own, which here
    // would be a few hundred bytes a device.
    const entry: Entry = {
      topic: cut(topic),
      clients: [clientOf(cut(clientId), upstream, receivedAt)],
      ...{ site, device, firstSeenAt: receivedAt, lastSeenAt: receivedAt, messages: 0 },
      ...{ clientsKnown: 1, values: [], rate: new DeviceRate(receivedAt), unsynced },
      ...{ older: undefined, newer: undefined }
    }
    this.#insert(entry)
    return entry
  }

  #insert(entry: Entry): void {
    const { site, device } = entry
    const devices = this.#sites.get(site)
    if (devices) devices.set(device, entry)
    else this.#sites.set(site, new Map([[device, entry]]))
    this.#known++
    this.#link(entry)
  }

  #forget(entry: Entry): void {
    const site = this.#sites.get(entry.site)
    site?.delete(entry.device)
    if (site?.size === 0) this.#sites.delete(entry.site)
    this.#known--
    this.#unlink(entry)
    this.#valuesKept -= entry.values.length
    this.#forgotten++
  }

  #addValue(entry: Entry, value: DeviceValue): void {
    const full = this.#valuesKept >= VALUES_PER_DEVICE * this.devicesMax
    if (full || entry.values.length >= METRICS_MAX) {
      entry.moreValues = true
      return
    }
    entry.values.push(value)
    this.#valuesKept++
  }

  #heardThrough(entry: Entry, id: string, upstream: boolean, at: number): void {
    const { clients } = entry
    const found = clients.findIndex(c => c.id === id && (c.upstream === true) === upstream)
    const client = found < 0 ? clientOf(id, upstream, at) : clients.splice(found, 1)[0]
    if (found < 0) entry.clientsKnown++
    client.lastSeenAt = at
    clients.unshift(client)
    if (clients.length > CLIENTS_MAX) clients.pop()
  }

  #touch(entry: Entry): void {
    if (entry === this.#newest) return
    this.#unlink(entry)
    this.#link(entry)
  }

  #link(entry: Entry): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest) this.#newest.newer = entry
    this.#newest = entry
    this.#oldest ??= entry
  }

  #unlink(entry: Entry): void {
    const { older, newer } = entry
    if (older) older.newer = newer
    else this.#oldest = newer
    if (newer) newer.older = older
    else this.#newest = older
  }
}

function factsOf(entry: Entry): DeviceFacts {
  const { site, device, firstSeenAt, lastSeenAt, messages, topic, clientsKnown, moreValues } = entry
  return {
    ...{ site, device, firstSeenAt, lastSeenAt, messages, topic, clientsKnown },
    clients: entry.clients.map(client => ({ ...client })),
    values: entry.values.map(value => ({ ...value })),
    ...(moreValues ? { moreValues } : {})
  }
}

function clientOf(id: string, upstream: boolean, lastSeenAt: number): DeviceClient {
  return { id, ...(upstream ? { upstream } : {}), lastSeenAt }
}

function setUnit(value: DeviceValue, unit: string | undefined): void {
  if (unit === undefined) delete value.unit
  else value.unit = unit
}

function cut(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX - 1)}…`
}

function holds({ site, device, clients }: Entry, wanted: string): boolean {
  if (deviceKey(site, device).toLowerCase().includes(wanted)) return true
  return clients.some(({ id }) => id.toLowerCase().includes(wanted))
}

/** Each key is asked for once. */
function sortBy(entries: Entry[], keyOf: (entry: Entry) => number): void {
  const keys = new Map(entries.map(entry => [entry, keyOf(entry)]))
  entries.sort((a, b) => keys.get(a)! - keys.get(b)!)
}

function byName(a: Entry, b: Entry): number {
  const [left, right] = [deviceKey(a.site, a.device), deviceKey(b.site, b.device)]
  return left < right ? -1 : left > right ? 1 : 0
}
