import { writeFrame } from '../../core/log/frame.ts'
import { DurableLog, type LogOptions } from '../../core/log/log.ts'
import type { LogReader } from '../../core/log/reader.ts'
import { FRAMES_POSITION } from '../../core/log/segment.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import type { Logger } from '../../core/runtime/log.ts'
import { Prng } from '../../core/runtime/prng.ts'
import { type ArmedSync, FaultDisk, type Incarnation, NO_FAULTS } from '../kit/fault-disk.ts'
import { Model, type Violation } from './model.ts'
import { type Plan, plan } from './plan.ts'

export type { Violation }

const DIRECTORY = '/data/log'
const LIVES_MAX = 6
const ACTIONS_MAX = 250
/** Appends that are not settled. */
const UNDER_WAY_MAX = 6
/** Rounds without an end of what is waited for: it hangs. */
const STUCK_ROUNDS = 20_000

/**
 * Drives one log through several lives of its process, with concurrent appends, two readers,
 * commits, checkpoints and retention, over a disk that fails and a process that dies at any step,
 * and compares with a simple model. Same seed, same run.
 *
 * @returns What did not hold; empty when all is well.
 */
export async function simulate(seed: number): Promise<Violation[]> {
  const simulation = new Simulation(seed)
  await simulation.run()
  return simulation.violations
}

class Simulation {
  readonly violations: Violation[] = []
  readonly #seed: number
  readonly #prng: Prng
  readonly #plan: Plan
  readonly #disk: FaultDisk
  readonly #model: Model
  readonly #logger: Logger
  #life = 0
  /** The last life ended with no more than the process. */
  #kept = true
  #now = 1_700_000_000_000
  #waiting: (() => void)[] = []
  #incarnation!: Incarnation
  #putBack: () => void = () => {}
  /** The owner learns elsewhere that later offsets than the log knows of were given away. */
  #isOldCopy = false
  #lastWasPower = true
  /** This life appends nothing: what an earlier one left is read, and must stay. */
  #quiet = false
  /** What was armed for last, in this life or in the one before. */
  #armedFor: ArmedSync | undefined

  constructor(seed: number) {
    this.#seed = seed
    this.#prng = new Prng(seed)
    this.#plan = plan(this.#prng)
    this.#disk = new FaultDisk({
      prng: this.#prng.fork(),
      now: () => this.#now
    })
    const { sync, faults } = this.#plan
    // On a full disk recovery cannot write again what it reads.
    const readIsSynced = sync === 'group' && faults.noSpace === 0
    this.#model = new Model(message => this.#report(message), readIsSynced)
    this.#logger = this.#listen()
  }

  async run(): Promise<void> {
    const troubled = this.#plan.oneSyncFails > 0
    const lives = (troubled ? 3 : 1) + this.#prng.int(troubled ? 2 * LIVES_MAX : LIVES_MAX)
    for (this.#life = 1; this.#life <= lives; this.#life++) {
      // A disk that fails from the start on seldom lets a log get far.
      this.#disk.faults = this.#prng.chance(0.5) ? NO_FAULTS : this.#plan.faults
      this.#disk.capacityBytes = this.#plan.capacityBytes
      const crashAt = this.#prng.chance(0.8)
        ? 1 + this.#prng.int(this.#prng.pick([50, this.#plan.rots > 0 ? 50 : 400, 1500]))
        : Infinity
      await this.#live(crashAt, false)
      if (this.violations.length > 0) return
    }
    this.#disk.faults = NO_FAULTS
    this.#disk.capacityBytes = Number.POSITIVE_INFINITY
    await this.#live(Number.POSITIVE_INFINITY, true)
  }

  /** One life of the process: open, work, and an end of one kind or another. */
  async #live(crashAt: number, last: boolean): Promise<void> {
    this.#waiting = []
    this.#incarnation = this.#disk.boot(() => this.#turn(), crashAt)
    const log = await this.#open()
    const quiet = this.#armedFor ? 0.8 : this.#plan.quietLives
    this.#quiet = !last && !this.#lastWasPower && this.#prng.chance(quiet)
    this.#armedFor = undefined
    let actions = last ? 20 : this.#prng.int(this.#quiet ? 120 : ACTIONS_MAX)
    if (log) {
      if (!last) this.#disk.faults = this.#plan.faults
      const life = new Life(log, last)
      if (this.#isOldCopy) {
        await this.#until(this.#beginEpoch(log, this.#model.givenEnd))
        // Where that failed the owner stores nothing either.
        if (this.#incarnation.dead || log.status.state !== 'open') actions = 0
        else this.#isOldCopy = false
      }
      // One may come late: what it has not read must wait for it.
      const { readers } = this.#model
      const known = Object.keys(readers).filter(name => readers[name].saved)
      const late = last || this.#repeatsMore ? undefined : this.#prng.pick([undefined, ...known])
      for (const name of ['hard', 'soft']) if (name !== late) await this.#openReader(life, name)
      for (let n = 0; n < actions && !this.#incarnation.dead; n++) {
        if (log.status.state !== 'open' || this.violations.length > 0) break
        if (late && !life.readers[late] && n === 60) await this.#openReader(life, late)
        this.#act(life)
        await this.#round()
        this.#checkSize()
      }
      if (last) await this.#drain(life)
      else if (!this.#incarnation.dead && this.#prng.chance(0.5)) await this.#close(log)
    }
    this.#model.forgetPending()
    // After a process death mostly: what that one left in the page cache alone is lost now.
    const power = this.#quiet || this.#prng.chance(this.#powerFails)
    this.#lastWasPower = power
    this.#kept &&= !power && this.#plan.faults === NO_FAULTS && this.#plan.oneSyncFails === 0
    this.#disk.armed = undefined
    this.#disk.reboot(power ? 'power' : 'process')
    if (this.#prng.chance(this.#plan.rots)) this.#rot()
    if (this.#plan.restores > 0) this.#backUpOrRestore()
  }

  get #powerFails(): number {
    if (this.#armedFor) return this.#armedFor.how === 'dies' ? 0.2 : 0.5
    return this.#lastWasPower ? 0.4 : 0.7
  }

  #backUpOrRestore(): void {
    if (this.#life === 1 || !this.#prng.chance(this.#plan.restores)) {
      this.#putBack = this.#disk.backup()
      return
    }
    this.#putBack()
    this.#model.putBack()
    this.#isOldCopy = true
    this.#kept = false
  }

  /** One byte of a frame of the last segment: its record is lost, its name must not come again. */
  #rot(): void {
    const sizes = this.#disk.sizes(DIRECTORY)
    const last = [...sizes.keys()]
      .filter(name => name.endsWith('.seg'))
      .sort()
      .at(-1)
    const frames = (last ? sizes.get(last)! : 0) - FRAMES_POSITION
    if (!last || frames <= 0) return
    // Mostly the newest record: what no checkpoint knows of yet.
    const back = this.#prng.int(this.#prng.chance(0.7) ? Math.min(frames, 20) : frames)
    this.#disk.rot(`${DIRECTORY}/${last}`, FRAMES_POSITION + frames - 1 - back)
    this.#model.everythingIsRisky()
    this.#kept = false
  }

  async #open(): Promise<DurableLog | undefined> {
    const { bytesMax, segmentBytes, overflow, sync } = this.#plan
    const options: LogOptions = {
      directory: DIRECTORY,
      logger: this.#logger,
      bytesMax,
      sharedBytes: () => this.#plan.sharedBytes,
      segmentBytes,
      overflow,
      sync,
      checkpointIntervalMs: 0,
      syncIntervalMs: 0,
      disk: this.#incarnation,
      clock: { now: () => this.#now, monotonic: () => this.#now },
      random: bytes => Buffer.from(Array.from({ length: bytes }, () => this.#prng.int(256))),
      sleep: () => this.#turn()
    }
    let log: DurableLog | undefined
    try {
      log = await this.#until(DurableLog.open(options))
    } catch (error) {
      const troubled =
        this.#disk.faults !== NO_FAULTS || this.#disk.capacityBytes < Number.POSITIVE_INFINITY
      const excused = error instanceof OperationalError && troubled
      if (!excused) this.#report(`open failed: ${error}`)
    }
    if (log) {
      this.#model.opened(log.status.end, this.#kept)
      this.#kept = true
      const note = Number(log.note('n') ?? 0)
      const { set, saved } = this.#model.note
      if (note > set || (note < saved && !this.#repeatsMore)) {
        this.#report(`the note is ${note}, not one of ${saved}..${set}`)
      }
    }
    return log
  }

  async #openReader(life: Life, name: string): Promise<void> {
    const reader = await life.log.reader(name, name === 'soft' ? this.#plan.softLagMax : undefined)
    life.readers[name] = reader
    life.cursors.set(name, reader.position.offset)
    this.#model.beginReading(name, reader.position.offset, this.#repeatsMore)
  }

  /** On a full disk a checkpoint may be missing, which costs repeats. */
  get #repeatsMore(): boolean {
    const { faults, capacityBytes, oneSyncFails } = this.#plan
    return (
      faults.noSpace + faults.syncFails + oneSyncFails > 0 ||
      capacityBytes < Number.POSITIVE_INFINITY
    )
  }

  #act(life: Life): void {
    const { log } = life
    const choice = this.#prng.int(100)
    if (choice < 35) {
      if (this.#quiet) this.#read(life, 'hard', 1 << 16)
      else if (life.underWay < UNDER_WAY_MAX) this.#append(life)
    } else if (choice < 55) {
      if (this.#quiet || (this.#plan.readsLate && this.#prng.chance(0.9))) return
      this.#read(life, this.#prng.chance(0.7) ? 'hard' : 'soft')
    } else if (choice < 65) {
      this.#commit(life, this.#prng.pick(['hard', 'soft']))
    } else if (choice < 70) {
      this.#checkpoint(life)
    } else if (choice < 73) {
      this.#forget(log.maintain())
    } else if (choice < 75) {
      log.setNote('n', String(++this.#model.note.set))
    } else if (choice === 99 && this.#prng.chance(0.2)) {
      const atLeast = Math.max(0, log.status.end + this.#prng.int(12) - 6)
      this.#forget(this.#beginEpoch(log, atLeast))
    } else if (choice < 76) {
      this.#now += this.#prng.int(100_000)
    }
  }

  #append(life: Life): void {
    const { log } = life
    const payloads = Array.from({ length: 1 + this.#prng.int(4) }, () => this.#payload())
    const ids = payloads.map(payload => this.#model.send(payload))
    life.underWay++
    if (!life.last && this.#prng.chance(this.#plan.oneSyncFails)) this.#armSync()
    const settled = log.append(payloads).then(
      first => {
        const { epoch } = log.status
        if (first < life.acked) this.#report(`append settled at ${first}, behind ${life.acked}`)
        life.acked = first + payloads.length
        this.#model.ack(ids, first, epoch, this.#plan.sync !== 'group')
      },
      error => {
        const known = error.code === 'LOG_FULL' || error.code === 'LOG_CLOSED'
        if (!known && error.code !== 'DISK_FAILED') this.#report(`append rejects with ${error}`)
        this.#model.refuse(ids, known)
      }
    )
    this.#forget(settled.finally(() => life.underWay--))
  }

  /** The moments that seldom come by chance: over a sync, and over what has to be done about it. */
  #armSync(): void {
    const thenDiesWithin = 1 + this.#prng.int(this.#prng.pick([2, 8, 20]))
    this.#armedFor = this.#prng.pick<ArmedSync>([
      { of: 'file', how: 'dies' },
      { of: 'file', how: 'fails' },
      { of: 'file', how: 'fails', thenDiesWithin },
      { of: 'file', how: 'fails', thenDiesWithin },
      { of: 'segment', how: 'fails' },
      { of: 'segment', how: 'dies' }
    ])
    this.#disk.armed = this.#armedFor
  }

  async #beginEpoch(log: DurableLog, atLeast: number): Promise<void> {
    try {
      this.#model.began(await log.beginEpoch(atLeast), atLeast)
    } catch (error) {
      const { code } = error as OperationalError
      const told = code === 'LOG_FULL' || code === 'LOG_CLOSED' || code === 'DISK_FAILED'
      if (!told) this.#report(`beginEpoch rejects with ${error}`)
    }
  }

  /** Mostly small, some larger than a segment, some full of imitated frames. */
  #payload(): Buffer {
    const { recordBytesMax } = this.#plan
    const sizes = [40, 200, 200, 1000, recordBytesMax]
    const payload = Buffer.alloc(4 + this.#prng.int(this.#prng.pick(sizes)), this.#prng.int(256))
    if (this.#prng.chance(0.3)) {
      const forged = Buffer.from('forged')
      for (let at = 4; at + 22 <= payload.length; at += 22) {
        writeFrame(payload, at, 0, this.#prng.int(2000), forged)
      }
    }
    return payload
  }

  #read(life: Life, name: string, bytesMax = this.#prng.pick([1, 100, 1000, 8192, 1 << 16])): void {
    const { log } = life
    const reader = life.readers[name]
    if (!reader || life.reading.has(name) || reader.position.offset >= log.status.end) return
    life.reading.add(name)
    const stop = new AbortController()
    life.stopReading.set(name, stop)
    const options = {
      signal: stop.signal,
      bytesMax,
      ...(this.#prng.chance(0.3) ? { recordsMax: 1 + this.#prng.int(5) } : {})
    }
    const read = reader.read(options).then(batch => {
      life.reading.delete(name)
      if (!batch) return
      for (const record of batch.records) this.#model.read(name, record, log.status)
      life.ends.set(name, batch.end)
    })
    this.#forget(read)
  }

  #commit(life: Life, name: string): void {
    const end = life.ends.get(name)
    if (!end) return
    life.readers[name].commit(end)
    life.cursors.set(name, end.offset)
    const reader = this.#model.readers[name]
    reader.committed = Math.max(reader.committed, end.offset)
  }

  #checkpoint(life: Life): void {
    const { readers, note } = this.#model
    const cursors = new Map(life.cursors)
    const set = Number(life.log.note('n') ?? 0)
    const saved = life.log.checkpoint().then(
      () => {
        note.saved = Math.max(note.saved, set)
        for (const [name, offset] of cursors) {
          readers[name].checkpointed = offset
          readers[name].saved = true
        }
      },
      () => {}
    )
    this.#forget(saved)
  }

  async #close(log: DurableLog): Promise<void> {
    await this.#until(log.close())
    const failing = this.#disk.faults !== NO_FAULTS || this.#plan.oneSyncFails > 0
    if (!this.#incarnation.dead && !failing) this.#model.nothingIsRisky()
  }

  /** Everything is read and committed: nothing is missing, and the disk is free again. */
  async #drain(life: Life): Promise<void> {
    const { log } = life
    for (const name of ['hard', 'soft']) {
      for (
        let n = 0;
        life.underWay > 0 || life.readers[name].position.offset < log.status.end;
        n++
      ) {
        if (n > STUCK_ROUNDS) {
          this.#report(
            `the drain hangs: ${name} at ${life.readers[name].position.offset} of ${log.status.end}`
          )
          return
        }
        for (const each of ['hard', 'soft']) {
          this.#read(life, each)
          this.#commit(life, each)
        }
        await this.#round()
        if (this.violations.length > 0) return
      }
      // A gap up to the end leaves the reader waiting for what nobody appends.
      life.stopReading.get(name)?.abort()
      await this.#rounds(() => life.reading.has(name))
      life.ends.set(name, life.readers[name].position)
      this.#commit(life, name)
      this.#model.drained(name, log.status.firstKept)
    }
    await this.#until(log.maintain())
    await this.#rounds(() => this.#waiting.length > 0)
    await this.#until(log.maintain())
    const left = this.#segmentBytesOnDisk()
    if (left > FRAMES_POSITION + this.#plan.segmentBytes / 4) {
      this.#report(`${left} bytes of segments are left after everything was read`)
    }
    this.#checkCount(log.status.bytes)
    await this.#until(log.close())
  }

  /** What the log takes for its size is its size; the reserve may be missing. */
  #checkCount(counted: number): void {
    let bytes = this.#plan.sharedBytes
    for (const each of this.#disk.sizes(DIRECTORY).values()) bytes += each
    if (Math.abs(counted - bytes) > 20_000) {
      this.#report(`the log takes itself for ${counted} bytes large, and is ${bytes}`)
    }
  }

  #checkSize(): void {
    const { bytesMax, segmentBytes, sharedBytes } = this.#plan
    let bytes = sharedBytes
    for (const each of this.#disk.sizes(DIRECTORY).values()) bytes += each
    if (bytes > bytesMax + Math.max(segmentBytes, FRAMES_POSITION)) {
      this.#report(`the log has ${bytes} bytes, the limit is ${bytesMax}`)
    }
  }

  #segmentBytesOnDisk(): number {
    let sum = 0
    for (const [name, bytes] of this.#disk.sizes(DIRECTORY)) if (name.endsWith('.seg')) sum += bytes
    return sum
  }

  // Time --------------------------------------------------------------------------------------

  /** Each step of the disk waits here until it is its turn: by chance, mostly the oldest first. */
  #turn(): Promise<void> {
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  async #round(): Promise<void> {
    if (this.#waiting.length > 0) {
      const at = this.#prng.chance(0.6) ? 0 : this.#prng.int(this.#waiting.length)
      const [resolve] = this.#waiting.splice(at, 1)
      resolve()
    }
    await new Promise(resolve => setImmediate(resolve))
  }

  async #rounds(condition: () => boolean): Promise<void> {
    for (let n = 0; condition() && n < STUCK_ROUNDS; n++) await this.#round()
    if (condition()) this.#report('an operation hangs')
  }

  /** @returns undefined when the process died over it. */
  async #until<T>(promise: Promise<T>): Promise<T | undefined> {
    let settled = false
    const done = () => {
      settled = true
    }
    promise.then(done, done)
    await Promise.resolve()
    for (let n = 0; !settled && !this.#incarnation.dead; n++) {
      if (n > STUCK_ROUNDS) {
        this.#report('an operation hangs')
        return undefined
      }
      await this.#round()
    }
    return settled ? promise : undefined
  }

  #forget(promise: Promise<unknown>): void {
    promise.catch(error => this.#report(`an operation failed: ${error.stack ?? error}`))
  }

  #listen(): Logger {
    const listen = (fields: Record<string, unknown>) => {
      if (fields.event !== 'log.dropped') return
      if (this.#plan.overflow !== 'drop_oldest') this.#report('records were dropped')
      this.#model.drop(fields.first as number, fields.end as number)
    }
    const ignore = () => {}
    return { error: listen, warn: ignore, info: ignore, debug: listen } as unknown as Logger
  }

  #report(message: string): void {
    this.violations.push({ seed: this.#seed, life: this.#life, message })
  }
}

/** What the driver remembers of one life. */
class Life {
  readonly log: DurableLog
  /** The disk is whole, and everything is read in the end. */
  readonly last: boolean
  readonly readers: Record<string, LogReader> = {}
  readonly reading = new Set<string>()
  readonly stopReading = new Map<string, AbortController>()
  readonly ends = new Map<string, LogReader['position']>()
  /** Where each reader's cursor stands. */
  readonly cursors = new Map<string, number>()
  underWay = 0
  acked = 0

  constructor(log: DurableLog, last: boolean) {
    this.log = log
    this.last = last
  }
}
