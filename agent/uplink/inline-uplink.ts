import type { ClockMark } from '../../core/contract/stored-message.ts'
import type { Lane } from './lane.ts'
import type { Uplink } from './lane-view.ts'

/** The uplink in the agent's own thread: where there is one core, or no built file to start. */
export class InlineUplink implements Uplink {
  readonly lanes: readonly Lane[]
  readonly #marks: Map<bigint, ClockMark>

  /** @param marks Shared with the lanes' routers. */
  constructor(lanes: readonly Lane[], marks: Map<bigint, ClockMark>) {
    this.lanes = lanes
    this.#marks = marks
    for (const lane of lanes) void lane.start()
  }

  markClock(mark: ClockMark): void {
    this.#marks.set(mark.bootId, mark)
  }

  async stop(drainMs: number): Promise<void> {
    await Promise.all(this.lanes.map(lane => lane.stop(drainMs)))
  }
}
