import { type AlertEvent, decodeAlertFrame } from '../../core/contract/alert-event.ts'
import type { LogBatch, LogReader } from '../../core/log/reader.ts'
import type { Clock } from '../../core/runtime/clock.ts'
import { pause } from '../../core/runtime/deadline.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import type { Prng } from '../../core/runtime/prng.ts'
import { Backoff } from '../uplink/backoff.ts'
import { OpenAlerts } from './open-alerts.ts'
import { type AlertSink, SinkUnavailable } from './sink.ts'
import type { SinkStateFile } from './sink-state-file.ts'

export interface AlertReaderOptions {
  sink: AlertSink
  /** Of the alert log, with the sink's own cursor. Closed by `stop`. */
  reader: LogReader
  /** Durable end of the alert log, now. */
  logEnd: () => number
  file: SinkStateFile
  clock: Clock
  prng: Prng
  logger: Logger
  /** Between two saves of the state, at least. */
  saveIntervalMs?: number
  backOffMs?: { min: number; max: number }
}

export interface SinkStatus {
  name: string
  target: string
  /** `waiting`: the last try failed, another follows. */
  state: 'delivering' | 'waiting' | 'stopped'
  /** Frames of the alert log that are not there yet. */
  backlogRecords: number
  /** Alerts that it knows as open. */
  openAlerts: number
  /** Events, since start. */
  delivered: number
  /** Events that it refuses for good, and which were passed over. */
  refused: number
  /** Frames that were dropped before they could be told: it was behind by more than `alerts.lag_max`. */
  skipped: number
  lastError?: { message: string; sinceAt: number }
}

const READ_BYTES = 256 << 10
const READ_RECORDS = 64
const SAVE_INTERVAL_MS = 1_000
/** Of a large state so much is written a second, in the mean: flash wears. */
const SAVE_BYTES_PER_SECOND = 64 << 10
const BACK_OFF_MS = { min: 500, max: 30_000 }
const WAIT_MS_MAX = 60_000

/**
 * One sink's way through the alert log: reads, tells, remembers how far it came and what is open.
 *
 * The log's cursor moves only behind what is in the saved state, so a crash at any moment loses no
 * event; those of the last second may be told again, under the same ids.
 */
export class AlertReader {
  readonly #options: AlertReaderOptions
  readonly #sink: AlertSink
  readonly #backoff: Backoff
  readonly #stopping = new AbortController()
  readonly #hardStop = new AbortController()
  readonly #open = new OpenAlerts()
  readonly #counters = { delivered: 0, refused: 0, skipped: 0 }
  #state: SinkStatus['state'] = 'delivering'
  #trouble: { message: string; sinceAt: number } | undefined
  /** In a row. */
  #failures = 0
  /** Everything before was delivered. */
  #cursor: LogReader['position']
  /** Records before were there when the sink was configured: see `SinkState`. */
  #toldFrom = 0
  readonly #openedEnd: number
  /** Ends the wait for records when something else is to be done. */
  #nudge = new AbortController()
  #known: { events: readonly AlertEvent[]; before: number } | undefined
  #repeatAt = Number.POSITIVE_INFINITY
  #running: Promise<void> | undefined
  #saveTimer: NodeJS.Timeout | undefined
  #saving: Promise<void> = Promise.resolve()
  #savedBytes = 0
  #saveFails = false

  constructor(options: AlertReaderOptions) {
    const { min, max } = options.backOffMs ?? BACK_OFF_MS
    this.#options = options
    this.#sink = options.sink
    this.#backoff = new Backoff(options.prng, min, max)
    this.#cursor = options.reader.position
    this.#openedEnd = options.logEnd()
  }

  get status(): SinkStatus {
    const { name, target } = this.#sink
    return {
      name,
      target,
      state: this.#state,
      backlogRecords: Math.max(0, this.#options.logEnd() - this.#cursor.offset),
      openAlerts: this.#open.size,
      ...this.#counters,
      ...(this.#trouble ? { lastError: this.#trouble } : {})
    }
  }

  start(): void {
    this.#running = this.#run().catch(error => {
      this.#trouble = { message: messageOf(error), sinceAt: this.#options.clock.now() }
      this.#options.logger.error(
        { event: 'alert_sink.failed', sink: this.#sink.name, error: String(error?.stack ?? error) },
        'A sink of alerts failed by a fault of ours: it stands still until the agent is restarted; the others go on.'
      )
      this.#state = 'stopped'
    })
  }

  /** Tells what is in the log for at most `drainMs`; not at all while the sink does not answer. */
  async stop(drainMs: number): Promise<void> {
    this.#stopping.abort()
    if (this.#state === 'waiting') this.#hardStop.abort()
    const timer = setTimeout(() => this.#hardStop.abort(), drainMs)
    await this.#running
    clearTimeout(timer)
    clearTimeout(this.#saveTimer)
    await this.#save()
    this.#state = 'stopped'
    this.#options.reader.close()
  }

  /** Records were dropped before this reader came to them. */
  countSkipped(records: number): void {
    this.#counters.skipped += records
  }

  /**
   * Tells which alerts are open, as who raises them knows: others are withdrawn, once the log is read
   * up to `before`, where it ended when this was asked.
   */
  reconcile(events: readonly AlertEvent[], before: number): void {
    this.#known = { events, before }
    this.#nudge.abort()
  }

  async #run(): Promise<void> {
    await this.#restore()
    if (this.#toldFrom <= this.#cursor.offset) await this.#tellOpen()
    while (!this.#hardStop.signal.aborted) {
      const batch = await this.#read()
      if (batch) await this.#pass(batch)
      // Read to the end and told to stop, or the log is closed.
      else if (this.#stopping.signal.aborted || !this.#nudge.signal.aborted) return
      if (this.#known && this.#cursor.offset >= this.#known.before) await this.#reconcile()
      if (this.#options.clock.monotonic() >= this.#repeatAt) await this.#repeat()
    }
  }

  async #restore(): Promise<void> {
    const { reader, file, logger } = this.#options
    const { name } = this.#sink
    const found = await file.load()
    if (found.kind === 'valid') {
      const { cursor, toldFrom, open } = found.state
      this.#open.restore(open)
      this.#toldFrom = toldFrom
      if (!(await reader.seek(cursor))) {
        this.#toldFrom = 0
        logger.warn(
          { event: 'alert_sink.cursor_unbelievable', sink: name, cursor },
          'A sink of alerts goes on at the oldest alert kept: some may be told again.'
        )
      }
    } else if (found.kind === 'absent') {
      // It was configured just now: what happened before is no news, but may be open.
      this.#toldFrom = this.#openedEnd
    } else {
      logger.error(
        { event: 'alert_sink.state_damaged', sink: name },
        'What a sink of alerts had come to is damaged on disk: alerts may be told again.'
      )
    }
    this.#cursor = reader.position
    await this.#save()
  }

  async #read(): Promise<LogBatch | undefined> {
    this.#nudge = new AbortController()
    const dueMs = this.#repeatAt - this.#options.clock.monotonic()
    if (dueMs <= 0 || (this.#known && this.#cursor.offset >= this.#known.before)) {
      this.#nudge.abort()
    }
    const timer = Number.isFinite(dueMs)
      ? setTimeout(() => this.#nudge.abort(), Math.max(1, dueMs))
      : undefined
    try {
      return await this.#options.reader.read({
        ...{ bytesMax: READ_BYTES, recordsMax: READ_RECORDS },
        signal: AbortSignal.any([this.#stopping.signal, this.#nudge.signal])
      })
    } finally {
      clearTimeout(timer)
    }
  }

  async #pass(batch: LogBatch): Promise<void> {
    const { changesMax } = this.#sink
    const told: { event: AlertEvent; offset: number }[] = []
    for (const { offset, payload } of batch.records) {
      // What is no frame goes to the dead letters by the uplink.
      for (const event of decodeAlertFrame(payload)?.events ?? []) {
        if (offset < this.#toldFrom) this.#open.apply(event, offset)
        else told.push({ event, offset })
      }
    }
    for (let at = 0; at < told.length; at += changesMax) {
      const changes = told
        .slice(at, at + changesMax)
        .map(({ event, offset }) => this.#open.apply(event, offset))
      const became = await this.#untilDone(signal => this.#sink.deliver(changes, signal))
      if (!became) return
      this.#counters.refused += became.refused
      this.#counters.delivered += became.delivered
    }
    const wasNew = this.#cursor.offset < this.#toldFrom
    this.#cursor = batch.end
    this.#saveSoon()
    if (wasNew && this.#cursor.offset >= this.#toldFrom) await this.#tellOpen()
  }

  async #tellOpen(events = this.#open.events): Promise<void> {
    if (events.length > 0) await this.#untilDone(signal => this.#sink.tellOpen(events, signal))
    this.#planRepeat()
  }

  async #repeat(): Promise<void> {
    const { events } = this.#open
    if (events.length > 0) await this.#untilDone(signal => this.#sink.repeat(events, signal))
    this.#planRepeat()
  }

  #planRepeat(): void {
    const { repeatMs } = this.#sink
    if (repeatMs !== undefined) this.#repeatAt = this.#options.clock.monotonic() + repeatMs
  }

  async #reconcile(): Promise<void> {
    const { events, before } = this.#known!
    this.#known = undefined
    const { gone, missed } = this.#open.reconcile(events, before)
    if (gone.length > 0) {
      this.#options.logger.warn(
        { event: 'alert_sink.withdrawn', sink: this.#sink.name, alerts: gone.length },
        'Alerts that were open are known to no detector any more; they are withdrawn without having been cleared.'
      )
      await this.#untilDone(signal => this.#sink.withdraw(gone, signal))
    }
    if (missed.length > 0) await this.#tellOpen(missed)
    if (gone.length + missed.length > 0) this.#saveSoon()
  }

  /** @returns undefined when it was stopped before. */
  async #untilDone<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const { signal } = this.#hardStop
    while (!signal.aborted) {
      try {
        const result = await orAborted(call(signal), signal)
        this.#recovered()
        return result
      } catch (error) {
        if (signal.aborted) break
        this.#troubled(messageOf(error))
        // Nothing to wait for any more: the rest is on disk.
        if (this.#stopping.signal.aborted) this.#hardStop.abort()
        const waitMs = error instanceof SinkUnavailable ? (error.waitMs ?? 0) : 0
        await pause(Math.min(waitMs, WAIT_MS_MAX), signal)
        await this.#backoff.wait(signal)
      }
    }
    return undefined
  }

  #troubled(message: string): void {
    const { clock, logger } = this.#options
    // One is no news: a connection may be on its way.
    if (++this.#failures === 2) {
      logger.warn(
        { event: 'alert_sink.waiting', sink: this.#sink.name, reason: message },
        'A sink of alerts does not take them: they wait on disk, and are tried again.'
      )
    }
    this.#state = 'waiting'
    this.#trouble = { message, sinceAt: this.#trouble?.sinceAt ?? clock.now() }
  }

  #recovered(): void {
    this.#backoff.reset()
    const wasTold = this.#failures >= 2
    this.#failures = 0
    this.#trouble = undefined
    this.#state = 'delivering'
    if (!wasTold) return
    this.#options.logger.info(
      { event: 'alert_sink.recovered', sink: this.#sink.name },
      'A sink of alerts takes them again.'
    )
  }

  #saveSoon(): void {
    const { saveIntervalMs = SAVE_INTERVAL_MS } = this.#options
    const delayMs = Math.max(saveIntervalMs, (this.#savedBytes / SAVE_BYTES_PER_SECOND) * 1000)
    this.#saveTimer ??= setTimeout(() => {
      this.#saveTimer = undefined
      void this.#save()
    }, delayMs)
  }

  /** Never rejects. What is not saved is told again after a crash. */
  #save(): Promise<void> {
    this.#saving = this.#saving.then(async () => {
      const { file, reader, logger } = this.#options
      const cursor = this.#cursor
      try {
        const state = { cursor, toldFrom: this.#toldFrom, open: this.#open.entries }
        this.#savedBytes = await file.save(state)
        reader.commit(cursor)
        this.#saveFails = false
      } catch (error) {
        if (!this.#saveFails) {
          logger.warn(
            { event: 'alert_sink.unsaved', sink: this.#sink.name, error: messageOf(error) },
            'How far a sink of alerts has come cannot be saved: after a crash they would be told again.'
          )
        }
        this.#saveFails = true
      }
    })
    return this.#saving
  }
}

/** Rejects when the signal aborts: what the call comes to is not waited for. */
async function orAborted<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new Error('stopped'))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop)
  })
  try {
    return await Promise.race([call, aborted])
  } finally {
    signal.removeEventListener('abort', stop)
    call.catch(() => {})
  }
}
