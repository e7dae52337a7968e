import { setTimeout as wait } from 'node:timers/promises'
import { messageOf } from '../../core/runtime/errors.ts'
import { FullScreen, type FullScreenOptions } from '../terminal/full-screen.ts'
import { clip, type Paint } from '../terminal/text.ts'
import { fleetText } from './fleet-text.ts'
import { fleetOf } from './fleet-view.ts'
import type { FleetReader } from './kafka-fleet.ts'

export interface WatchOptions extends Pick<FullScreenOptions, 'input' | 'output'> {
  /** Read once already. */
  fleet: Pick<FleetReader, 'table' | 'read'>
  topic: string
  awayAfterMs: number | undefined
  paint: Paint
  drawMs?: number
}

const DRAW_MS = 2_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const CTRL_C = '\x03'

/** Shows the fleet until the person has seen enough: `q`, Ctrl-C or a signal. Kafka may go meanwhile. */
export async function watchFleet(options: WatchOptions): Promise<void> {
  const { fleet, topic, awayAfterMs, paint, input, output, drawMs = DRAW_MS } = options
  const ended = new AbortController()
  const { signal } = ended
  const end = (): void => ended.abort()
  let trouble: string | undefined
  const draw = (): void => {
    const agents = fleetOf(fleet.table, Date.now(), awayAfterMs)
    const { columns, rows } = screen.size
    const lines = fleetText(fleet.table, agents, topic, paint)
    const below = lines.splice(lines.lastIndexOf(''))
    if (trouble) below.push('', paint.yellow(trouble))
    // The worst is on top: what does not fit is cut above the sum.
    const shown = [...lines.slice(0, Math.max(1, rows - below.length)), ...below]
    screen.draw(shown.map(line => clip(line, columns)))
  }
  const screen = new FullScreen({
    ...{ input, output, onResize: draw },
    onKey: keys => (keys.includes('q') || keys.includes(CTRL_C) ? end() : draw())
  })
  for (const name of SIGNALS) process.once(name, end)
  const over = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
  screen.open()
  try {
    while (!signal.aborted) {
      draw()
      await wait(drawMs, undefined, { signal }).catch(() => {})
      const reading = fleet.read().then(
        () => undefined,
        error => messageOf(error)
      )
      trouble = (await Promise.race([reading, over])) ?? undefined
    }
  } finally {
    screen.close()
    for (const name of SIGNALS) process.off(name, end)
  }
}
