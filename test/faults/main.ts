import { parseArgs } from 'node:util'
import { Prng } from '../../core/runtime/prng.ts'
import { OUTAGE_KINDS, type OutageKind } from './outage.ts'
import { type DeliveryMode, type Killed, type OutageCase, runCase } from './outage-case.ts'
import { startStage } from './stage.ts'
import { headLine, resultLine, summaryLine, type TableRow } from './table.ts'

/*
 * `npm run faults [-- --quick] [--seed N] [--only KIND] [--away SECONDS]`: every kind of outage ×
 * delivery mode × what is killed in it, against a real broker; exit code 1 when one breaks a promise.
 */

const MODES: readonly DeliveryMode[] = ['at_least_once', 'exactly_once']
const KILLED: readonly Killed[] = ['neither', 'agent', 'broker']
/** Shorter and longer than a client's patience. */
const AWAY_MS = { awayMsMin: 6_000, awayMsMax: 24_000 }
const QUICK_AWAY_MS = { awayMsMin: 6_000, awayMsMax: 10_000 }
/** Over before the client has given its connection up: else the hard part is behind it. */
const HALF_OPEN_AWAY_MS = { awayMsMin: 2_000, awayMsMax: 8_000 }

/** Each kind once, each mode with each killing. */
const QUICK: readonly [OutageKind, DeliveryMode, Killed][] = [
  ['refused', 'exactly_once', 'broker'],
  ['reset', 'at_least_once', 'agent'],
  ['black hole', 'exactly_once', 'neither'],
  ['forgotten', 'at_least_once', 'neither'],
  ['half open', 'exactly_once', 'agent'],
  ['slow', 'at_least_once', 'neither'],
  ['flapping', 'exactly_once', 'neither'],
  ['names', 'at_least_once', 'agent'],
  ['advertised', 'at_least_once', 'broker']
]

function allCases(): [OutageKind, DeliveryMode, Killed][] {
  return OUTAGE_KINDS.flatMap(kind =>
    MODES.flatMap(mode =>
      KILLED.map((killed): [OutageKind, DeliveryMode, Killed] => [kind, mode, killed])
    )
  )
}

function awayOf(
  kind: OutageKind,
  quick: boolean,
  wantedSeconds: string | undefined
): Pick<OutageCase, 'awayMsMin' | 'awayMsMax'> {
  const wantedMs = Number(wantedSeconds) * 1000
  if (wantedSeconds !== undefined) return { awayMsMin: wantedMs, awayMsMax: wantedMs }
  if (kind === 'half open') return HALF_OPEN_AWAY_MS
  return quick ? QUICK_AWAY_MS : AWAY_MS
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      away: { type: 'string' }
    }
  })
  const { quick } = values
  const only = values.only?.replaceAll(/[-_]/g, ' ')
  if (only !== undefined && !(OUTAGE_KINDS as readonly string[]).includes(only)) {
    process.stderr.write(`no kind '${only}'; there are: ${OUTAGE_KINDS.join(', ')}\n`)
    process.exit(2)
  }
  const seed = Number(values.seed)
  const prng = new Prng(seed)
  const cases = (quick ? QUICK : allCases())
    .map(
      ([kind, mode, killed]): OutageCase => ({
        ...{ kind, mode, killed, seed: prng.uint32() },
        ...awayOf(kind, quick, values.away)
      })
    )
    .filter(({ kind }) => only === undefined || kind === only)

  const print = (line: string): boolean => process.stdout.write(`${line}\n`)
  const startedAt = performance.now()
  const rows: TableRow[] = []
  const stage = await startStage()
  try {
    print(`seed ${seed}; ${cases.length} cases`)
    print(headLine())
    for (const spec of cases) {
      // A case that failed may have left it dead.
      if (stage.broker.pid === 0) await stage.broker.start()
      const row: TableRow = { spec, ...(await attempt(() => runCase(stage, spec))) }
      rows.push(row)
      print(resultLine(row))
      for (const violation of row.result?.violations ?? []) print(`    violated: ${violation}`)
      if (row.error) print(`    failed: ${row.error.replaceAll('\n', '\n    ')}`)
    }
  } finally {
    await stage.remove()
  }
  print(summaryLine(rows, performance.now() - startedAt))
  const wrong = rows.some(({ result }) => !result || result.violations.length > 0)
  process.exitCode = wrong ? 1 : 0
}

async function attempt<T>(run: () => Promise<T>): Promise<{ result?: T; error?: string }> {
  try {
    return { result: await run() }
  } catch (error) {
    return { error: String(error instanceof Error ? error.message : error) }
  }
}

// Leaves no process behind: what runs on the stage ends with this one's exit.
process.once('SIGINT', () => process.exit(130))
process.once('SIGTERM', () => process.exit(143))
await main()
