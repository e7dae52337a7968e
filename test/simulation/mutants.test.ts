import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../kit/temp-directory.ts'
import type { Violation } from './simulate.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const SEEDS_MAX = 1000

/** One mistake a programmer could make, as a change of the source. */
interface Mutant {
  name: string
  file: string
  from: string
  to: string
}

const MUTANTS: Mutant[] = [
  {
    name: 'acknowledges before the sync',
    file: 'log.ts',
    from: "if (this.#options.sync === 'group') await this.#syncGroup(first, payloads)",
    to: "if (this.#options.sync === 'group') void this.#syncGroup(first, payloads).catch(() => {})"
  },
  {
    name: 'never syncs the data',
    file: 'writer.ts',
    from: 'await this.#active.file.sync()',
    to: ''
  },
  {
    name: 'unlinks before the checkpoint is saved',
    file: 'retention.ts',
    from: '    const saved = await this.#write(',
    to: '    await this.#segments.unlinkFirst(trimmable)\n    const saved = await this.#write('
  },
  {
    name: 'does not sync the checkpoint',
    file: 'checked-file.ts',
    from: '    await file.sync()\n',
    to: ''
  },
  {
    name: 'does not sync the directory after a new segment',
    file: 'active-segment.ts',
    from: '    await file.sync()\n    await disk.syncDirectory(directory)\n',
    to: '    await file.sync()\n'
  },
  {
    name: 'does not sync the old segment before the next',
    file: 'writer.ts',
    from: 'if (this.#synced < this.#active.position) await this.sync()',
    to: ''
  },
  {
    name: 'does not sync at the end of recovery',
    file: 'recovery.ts',
    from: '    await file.sync()\n    if (!this.#newEpoch)',
    to: '    if (!this.#newEpoch)'
  },
  {
    name: 'believes what reads well after a process died over a failed sync',
    file: 'recovery.ts',
    from: '    await this.#rewrite(file, known?.position ?? FRAMES_POSITION, scan.position)\n',
    to: ''
  },
  {
    name: 'goes on in the same segment after a failed sync',
    file: 'log.ts',
    from: '      await this.#abandon(first)\n      await this.#retention.withRoom(() => this.#writer.write(first, payloads))\n',
    to: ''
  },
  {
    name: 'takes bytes for the size from a counter that misses the trimmed',
    file: 'segment-list.ts',
    from: '      this.#bytes -= bytes\n',
    to: ''
  },
  {
    name: 'seeds the CRC with nothing',
    file: 'log.ts',
    from: 'salt: () => random(4).readUInt32BE(),',
    to: 'salt: () => 0,'
  },
  {
    name: 'gives offsets away again after a cut tail',
    file: 'recovery.ts',
    from: 'for (const { position, bytes, atEnd } of scan.damages) {\n      await this.#wantNewEpoch()',
    to: 'for (const { position, bytes, atEnd } of scan.damages) {'
  },
  {
    name: 'begins no new epoch after an unclean stop of an unsynced log',
    file: 'recovery.ts',
    from: "!== 'group' && !checkpoint?.clean",
    to: "!== 'group' && false"
  },
  {
    name: 'goes on in the epoch it had when told that an older copy was put back',
    file: 'log.ts',
    from: 'const epoch = nextEpoch([generation(this.#writer.epoch)], this.#random)',
    to: 'const epoch = this.#writer.epoch'
  },
  {
    name: 'begins a new epoch where the old one stopped',
    file: 'log.ts',
    from: 'const offset = Math.max(atLeast, this.#control.durableEnd)',
    to: 'const offset = this.#control.durableEnd'
  },
  {
    name: 'leaves a half-made segment standing',
    file: 'active-segment.ts',
    from: '      await disk.unlink(name)\n',
    to: ''
  },
  {
    name: 'reads past what is durable',
    file: 'file-reader.ts',
    from: 'const limit = Math.min(end, segment.next ?? end)',
    to: 'const limit = Number.MAX_SAFE_INTEGER'
  },
  {
    name: 'believes what a failed sync left behind the next segment',
    file: 'file-reader.ts',
    from: 'const limit = Math.min(end, segment.next ?? end)',
    to: 'const limit = end'
  },
  {
    name: 'does not sync the directory after the checkpoint is renamed',
    file: 'checked-file.ts',
    from: '  await disk.syncDirectory(directory)\n',
    to: ''
  },
  {
    name: 'lets a segment go that a reader still needs',
    file: 'cursor-table.ts',
    from: 'held = Math.min(held, from)',
    to: 'held = held === Number.POSITIVE_INFINITY ? from : Math.max(held, from)'
  },
  {
    name: 'forgets the cursors of readers that have not come yet',
    file: 'cursor-table.ts',
    from: 'for (const { offset } of this.#waiting.values()) held = Math.min(held, offset)',
    to: ''
  },
  {
    name: 'checks the room without the batch',
    file: 'retention.ts',
    from: 'const over = this.#bytesOver(bytes, shared)',
    to: 'const over = this.#bytesBeside(shared) / 2 - bytesMax'
  }
]

for (const mutant of MUTANTS) {
  test(`the simulation catches a log that ${mutant.name}`, async () => {
    const simulateMutant = await build(mutant)
    let caught: string | undefined
    for (let seed = 1; seed <= SEEDS_MAX && caught === undefined; seed++) {
      const violations = await simulateMutant(seed)
      if (violations.length > 0) caught = `seed ${seed}: ${violations[0].message}`
    }
    expect(caught).toBeDefined()
    if (process.env.FIELDLINE_MUTANTS) process.stdout.write(`${mutant.name}: ${caught}\n`)
  }, 120_000)
}

/** A copy of the sources with one change, in a directory of its own. */
async function build({ file, from, to }: Mutant): Promise<(seed: number) => Promise<Violation[]>> {
  const directory = temporaryDirectory()
  for (const part of ['core/log', 'core/runtime', 'test/simulation', 'test/kit']) {
    fs.cpSync(path.join(ROOT, part), path.join(directory, part), { recursive: true })
  }
  fs.symlinkSync(path.join(ROOT, 'node_modules'), path.join(directory, 'node_modules'))
  const target = path.join(directory, 'core/log', file)
  const source = fs.readFileSync(target, 'utf8')
  const parts = source.split(from)
  expect(parts.length, `"${from}" stands once in ${file}`).toBe(2)
  fs.writeFileSync(target, parts.join(to))
  const { simulate } = await import(path.join(directory, 'test/simulation/simulate.ts'))
  return simulate
}
