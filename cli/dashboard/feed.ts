import type { EventStream } from '../../core/runtime/event-stream.ts'
import { type HttpAnswer, plain } from '../../core/runtime/http.ts'
import type { LiveLook, LiveRequest, LiveSeries } from '../../detector/live/live-view.ts'
import type { AgentViews } from '../agent-view/agent-view.ts'
import type { SeenStatus } from '../agent-view/notes.ts'

export interface FeedOptions {
  status: () => SeenStatus
  /** An answer each; undefined where nothing is detected, or the detector is too busy. */
  look: (requests: readonly LiveRequest[]) => Promise<readonly LiveLook[] | undefined>
  views: AgentViews
  viewersMax?: number
  intervalMs?: number
  now?: () => number
}

/** Longer ones are of no name that can be. */
const NAME_CHARACTERS_MAX = 2048

type Stream = Pick<EventStream, 'send' | 'onClosed' | 'close' | 'behind'>

interface Viewer {
  stream: Stream
  request: LiveRequest
  /** By event: what was told last is not told again. */
  told: Map<string, string>
}

/**
 * Tells every browser that looks, once a second, what has changed. Works only while somebody looks.
 *
 * Bounded: `viewersMax` of them, a further one is refused with 503; one that does not keep up misses
 * updates, not what they would have said: the next one has all of it.
 */
export class DashboardFeed {
  readonly #options: FeedOptions
  readonly #viewers = new Set<Viewer>()
  readonly #now: () => number
  #timer: NodeJS.Timeout | undefined
  #telling = false

  constructor(options: FeedOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  get viewers(): number {
    return this.#viewers.size
  }

  /** The callee for `/events?site=…&device=…&metric=…&find=…`. */
  open(query: URLSearchParams, openStream: () => Stream): HttpAnswer | undefined {
    const { viewersMax = 16, intervalMs = 1000 } = this.#options
    if (this.#viewers.size >= viewersMax) {
      return plain(503, `${viewersMax} dashboards are open already; close one`)
    }
    const request = requestOf(query)
    if (!request)
      return plain(400, 'a name is too long, or site, device and metric are not all there')
    const viewer: Viewer = { stream: openStream(), request, told: new Map() }
    this.#viewers.add(viewer)
    viewer.stream.onClosed(() => this.#forget(viewer))
    this.#timer ??= setInterval(() => void this.tell(), intervalMs).unref()
    void this.#tellAll([viewer])
    return undefined
  }

  /** One update to everybody; one that is not through lets the next one wait for its turn. */
  async tell(): Promise<void> {
    if (this.#telling) return
    this.#telling = true
    try {
      await this.#tellAll([...this.#viewers])
    } finally {
      this.#telling = false
    }
  }

  close(): void {
    for (const { stream } of [...this.#viewers]) stream.close()
  }

  async #tellAll(viewers: readonly Viewer[]): Promise<void> {
    // One that is behind is told nothing, so nothing is looked up for it.
    const ready = viewers.filter(({ stream }) => !stream.behind)
    if (ready.length === 0) return
    const asked = ready.map(({ request }) => request)
    const looks = await this.#options.look(asked).catch(() => undefined)
    const { status, views } = this.#options
    const agent = JSON.stringify(views.view(status(), looks?.[0], this.#now()))
    const json = jsonOnce()
    for (const [index, viewer] of ready.entries()) this.#tell(viewer, agent, looks?.[index], json)
  }

  #tell(viewer: Viewer, agent: string, look: LiveLook | undefined, jsonOf: JsonOf): void {
    const parts = [['agent', agent]]
    if (look) {
      const { alerts, cleared, devices } = look
      parts.push(['alerts', jsonOf(alerts, () => ({ ...alerts, cleared }))])
      parts.push(['devices', jsonOf(devices, () => devices)])
      parts.push(['series', seriesJson(look.series)])
    }
    const fresh = parts.filter(([name, json]) => viewer.told.get(name) !== json)
    if (!viewer.stream.send(fresh.map(([name, json]) => ({ name, json })))) return
    for (const [name, json] of fresh) viewer.told.set(name, json)
    if (!look?.series) return
    // What was chosen for somebody stays, or the picture would jump from alert to alert.
    viewer.request.series = look.series.name
    // The last point may still be replaced by a more surprising one of the same second.
    const last = look.series.points.at(-1)
    if (last) viewer.request.sinceAt = stepOf(last.at)
  }

  #forget(viewer: Viewer): void {
    this.#viewers.delete(viewer)
    if (this.#viewers.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#options.views.forget()
  }
}

type JsonOf = (about: object, what: () => object) => string

/** What several are told is made into text once. */
function jsonOnce(): JsonOf {
  const made = new Map<object, string>()
  return (about, what) => {
    const json = made.get(about) ?? JSON.stringify(what())
    made.set(about, json)
    return json
  }
}

/** A point is `[at, value, lower, upper, score]`; lower and upper are null while it is learned. */
function seriesJson(series: LiveSeries | undefined): string {
  if (!series) return 'null'
  const short = (n: number | undefined) => (n === undefined ? null : Number(n.toPrecision(7)))
  const points = series.points.map(({ at, value, lower, upper, score }) => [
    ...[at, short(value), short(lower), short(upper), Number(score.toFixed(3))]
  ])
  return JSON.stringify({ ...series, points })
}

function stepOf(at: number): number {
  return Math.floor(at / 1000) * 1000
}

/** @returns undefined when it is none that a page of ours would send. */
function requestOf(query: URLSearchParams): LiveRequest | undefined {
  if ([...query.values()].some(value => value.length > NAME_CHARACTERS_MAX)) return undefined
  const [site, device, metric] = ['site', 'device', 'metric'].map(name => query.get(name))
  const find = query.get('find') ?? ''
  if (site === null && device === null && metric === null) return { find }
  if (site === null || device === null || metric === null) return undefined
  return { find, series: { site, device, metric } }
}
