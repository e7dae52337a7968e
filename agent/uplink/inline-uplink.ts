import type { AgentWord } from '../../core/contract/agent-status.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { StatusTopic, StatusTopicView } from '../status-report/status-topic.ts'
import { plainView, withEarlier } from './lane-totals.ts'
import { type LaneView, REOPEN_DRAIN_MS, type Uplink } from './lane-view.ts'
import type { OpenedLane } from './open-lane.ts'

/** The uplink in the agent's own thread: where there is one core, or no built file to start. */
export class InlineUplink implements Uplink {
  readonly #open: () => OpenedLane[]
  readonly #marks: Map<bigint, ClockMark>
  readonly #statusTopic: StatusTopic | null
  #opened: readonly OpenedLane[]
  /** Of lanes that were opened anew: counts go on from there. */
  #earlier: readonly LaneView[] = []

  /**
   * @param open Claims the lanes' readers anew.
   * @param marks Shared with the lanes' routers.
   */
  constructor(
    open: () => OpenedLane[],
    marks: Map<bigint, ClockMark>,
    statusTopic: StatusTopic | null
  ) {
    this.#open = open
    this.#marks = marks
    this.#statusTopic = statusTopic
    this.#opened = this.#start()
  }

  get lanes(): readonly LaneView[] {
    return this.#opened.map(({ lane }, i) => withEarlier(plainView(lane), this.#earlier[i]))
  }

  markClock(mark: ClockMark): void {
    this.#marks.set(mark.bootId, mark)
  }

  get statusTopic(): StatusTopicView | null {
    return this.#statusTopic?.view ?? null
  }

  say(word: AgentWord): void {
    this.#statusTopic?.say(word)
  }

  async useRoutes(routes: readonly RouteConfig[]): Promise<void> {
    if (this.lanes.some(({ state }) => state.kind === 'parked')) {
      await Promise.all(this.#opened.map(({ lane }) => lane.stop(REOPEN_DRAIN_MS)))
      this.#earlier = structuredClone(this.lanes)
      this.#opened = this.#start()
    } else for (const { useRoutes } of this.#opened) useRoutes(routes)
  }

  setLogLevel(): void {
    // It logs with the agent's own logger.
  }

  async stop(drainMs: number, lastWord?: () => AgentWord): Promise<void> {
    await Promise.all(this.#opened.map(({ lane }) => lane.stop(drainMs)))
    if (lastWord) await this.#statusTopic?.end(lastWord())
    await this.#statusTopic?.close()
  }

  #start(): OpenedLane[] {
    const opened = this.#open()
    for (const { lane } of opened) void lane.start()
    return opened
  }
}
