import { join } from 'node:path'
import { messageOf } from '../../core/runtime/errors.ts'
import { localKafkaAvailability } from '../local-kafka.ts'
import { paintFor } from '../terminal/paint.ts'
import type { Picture, Scene, ShownAlert } from './frame.ts'
import { Observer } from './observer.ts'
import { AGENT_LOG } from './places.ts'
import type { DemoResult } from './result.ts'
import { openScreen, type Screen } from './screen.ts'
import { CHAPTERS, CHAPTERS_AWAY, type Play, play, playAway } from './script.ts'
import { Stage } from './stage.ts'
import { renderResult } from './tables.ts'

import { FAST, FULL } from './timeline.ts'

export interface DemoFlags {
  fast: boolean
  keep: boolean
  json: boolean
  seed: number
  delivery?: 'at_least_once' | 'exactly_once'
}

export interface DemoEnd {
  exitCode: number
  /** Something may still be open: do not wait for it. */
  atOnce: boolean
}

/** Of `fieldline agent`, where no flag says otherwise. */
const DEFAULT_DELIVERY = 'at_least_once'
const ALERTS_SHOWN_MAX = 8
const LOG_LINES_SHOWN = 12
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Plays the demo and cleans up after it, however it ends. */
export async function runDemo(flags: DemoFlags): Promise<DemoEnd> {
  const stream = flags.json ? process.stderr : process.stdout
  const abort = new AbortController()
  const interruption = listenForSignals(abort)
  const stage = await Stage.set({
    delivery: flags.delivery,
    onAgentLost: how => abort.abort(new Error(`the agent ended by itself (${how})`))
  })
  const hall = openHall(flags, stage, stream)
  let keep = true
  try {
    const result = await perform(flags, stage, hall, abort.signal)
    hall.screen.close()
    keep = flags.keep || !result.ok
    await strike(stage, keep, stream, 'Ending Kafka and cleaning up.')
    report(flags, result, stage, stream, keep)
    return { exitCode: result.ok ? 0 : 1, atOnce: false }
  } catch (error) {
    hall.screen.close()
    const signal = interruption.received
    keep = flags.keep || signal === undefined
    if (signal === undefined) stream.write(failureText(error, stage))
    else await stageNote(stream, 'Interrupted: ending what was started.')
    await stage.strike(keep)
    return { exitCode: signal ? EXIT_CODES[signal] : 1, atOnce: true }
  } finally {
    hall.screen.close()
    await hall.observer.stop()
    interruption.dispose()
  }
}

interface Hall {
  scene: Scene
  observer: Observer
  screen: Screen
  chapters: string[]
  beganAt: number
}

function openHall(flags: DemoFlags, stage: Stage, stream: NodeJS.WriteStream): Hall {
  const beganAt = performance.now()
  const elapsedMs = (): number => performance.now() - beganAt
  const lastAlerts: ShownAlert[] = []
  const scene: Scene = {
    ...{ chapter: 0, headline: '', kafka: 'starting', agent: 'starting', restarted: false }
  }
  const observer = new Observer(stage, ({ event, state }) => {
    const alert = { atMs: elapsedMs(), event, cleared: state === 'cleared' }
    lastAlerts.push(alert)
    if (lastAlerts.length > ALERTS_SHOWN_MAX) lastAlerts.shift()
    hall.screen.alert(alert)
  })
  const picture = (): Picture => ({
    ...scene,
    ...observer.now,
    chapters: hall.chapters,
    elapsedMs: elapsedMs(),
    totalMs: (flags.fast ? FAST : FULL).totalMs,
    lastAlerts
  })
  const screen = openScreen({ stream, env: process.env, picture })
  const hall: Hall = { scene, observer, screen, chapters: CHAPTERS, beganAt }
  return hall
}

async function perform(
  flags: DemoFlags,
  stage: Stage,
  hall: Hall,
  signal: AbortSignal
): Promise<DemoResult> {
  const tell = (text: string): void => hall.screen.tell(performance.now() - hall.beganAt, text)
  const timeline = flags.fast ? FAST : FULL
  const { kind, reason } = await localKafkaAvailability()
  const common = { stage, observer: hall.observer, scene: hall.scene, tell, signal }
  const run: Play = {
    ...common,
    timeline,
    seed: flags.seed,
    delivery: flags.delivery ?? DEFAULT_DELIVERY
  }
  signal.throwIfAborted()
  if (kind !== 'none') {
    return { ...(await play(run, reason)), elapsedMs: Math.round(performance.now() - hall.beganAt) }
  }
  hall.chapters = CHAPTERS_AWAY
  tell(reason)
  tell("Without it this is an edge agent's normal day: Kafka is away, readings wait on disk.")
  const shorter = { ...timeline, endMs: timeline.outageAtMs + 15_000 }
  const result = await playAway({ ...run, timeline: shorter })
  return { ...result, elapsedMs: Math.round(performance.now() - hall.beganAt) }
}

async function strike(
  stage: Stage,
  keep: boolean,
  stream: NodeJS.WriteStream,
  note: string
): Promise<void> {
  await stageNote(stream, note)
  await stage.strike(keep)
}

/** On a terminal only, where a pause without a word is puzzling. */
async function stageNote(stream: NodeJS.WriteStream, text: string): Promise<void> {
  if (stream.isTTY) stream.write(`  ${text}\n`)
}

function report(
  flags: DemoFlags,
  result: DemoResult,
  stage: Stage,
  stream: NodeJS.WriteStream,
  keep: boolean
): void {
  if (flags.json) process.stdout.write(`${JSON.stringify(result)}\n`)
  else stream.write(renderResult(result, paintFor(process.env, stream)))
  if (keep) stream.write(`  Logs and data are kept in ${stage.directory}\n`)
}

function failureText(error: unknown, stage: Stage): string {
  const lines = stage.agent.lastLines(LOG_LINES_SHOWN)
  const said = lines.length > 0 ? `The agent's last words:\n${lines.join('\n')}\n` : ''
  const log = join(stage.directory, AGENT_LOG)
  return `\nThe demo failed: ${messageOf(error)}\n${said}Logs and data are kept in ${stage.directory} (the agent's log: ${log}).\n`
}

/** The first signal ends the play, a second one this process: the reaper does the rest. */
function listenForSignals(abort: AbortController): {
  readonly received: (typeof SIGNALS)[number] | undefined
  dispose(): void
} {
  let received: (typeof SIGNALS)[number] | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (received) process.exit(EXIT_CODES[received])
    received = signal as (typeof SIGNALS)[number]
    abort.abort(new Error('interrupted'))
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  return {
    get received() {
      return received
    },
    dispose() {
      for (const signal of SIGNALS) process.off(signal, onSignal)
    }
  }
}
