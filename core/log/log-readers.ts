import type { Logger } from '../runtime/log.ts'
import type { ControlBlock } from './control-block.ts'
import type { CursorTable } from './cursor-table.ts'
import type { Disk } from './disk.ts'
import type { LogReader } from './reader.ts'
import { openClaimedReader, type ReaderClaim, type ReaderGap } from './reader-claim.ts'

/** Who reads the log, in this thread or another, and what they could not be given. */
export class LogReaders {
  readonly counters = { damaged: 0, lagged: 0 }
  readonly #options: LogReadersOptions
  /** Of this thread. */
  readonly #open = new Map<string, LogReader>()

  constructor(options: LogReadersOptions) {
    this.#options = options
  }

  /** An open reader of the name is closed. */
  claim(name: string, lagRecordsMax?: number): ReaderClaim {
    const { cursors, control, directory, cursorEpoch } = this.#options
    const { slot, offset } = cursors.claim(name, lagRecordsMax)
    this.#open.get(name)?.close()
    this.#open.delete(name)
    return {
      name,
      directory,
      control: control.buffer,
      slot,
      turn: control.takeTurn(slot),
      from: { epoch: cursorEpoch(offset), offset }
    }
  }

  open(name: string, lagRecordsMax?: number): LogReader {
    const reader = openClaimedReader(this.claim(name, lagRecordsMax), {
      disk: this.#options.disk,
      onGap: gap => this.reportGap(name, gap)
    })
    this.#open.set(name, reader)
    return reader
  }

  reportGap(name: string, gap: ReaderGap): void {
    const records = gap.end - gap.first
    if (gap.reason === 'dropped') {
      if (this.#options.cursors.isSoft(name)) this.counters.lagged += records
      return
    }
    if (gap.reason === 'newer') {
      this.#options.passedNewer(name, gap)
      return
    }
    this.counters.damaged += records
    this.#options.logger.error(
      { event: 'log.damaged', reader: name, records, ...gap },
      'Records cannot be read: their bytes on disk are damaged. Reading goes on behind them.'
    )
  }

  /** Of cursors in the checkpoint whose reader has not come. */
  releaseWaiting(): void {
    for (const name of this.#options.cursors.releaseWaiting()) this.#tellReleased(name)
  }

  release(name: string): void {
    if (this.#options.cursors.release(name)) this.#tellReleased(name)
  }

  #tellReleased(name: string): void {
    this.#options.logger.info(
      { event: 'log.cursor_released', reader: name },
      'A cursor without a reader is released: it holds no records back any more.'
    )
  }

  close(): void {
    for (const reader of this.#open.values()) reader.close()
  }
}

export interface LogReadersOptions {
  disk: Disk
  directory: string
  control: ControlBlock
  cursors: CursorTable
  /** Under which a cursor at the offset is kept. */
  cursorEpoch: (offset: number) => string
  /** Records of a newer format were passed over. */
  passedNewer: (name: string, gap: ReaderGap) => void
  logger: Logger
}
