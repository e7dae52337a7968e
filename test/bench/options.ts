import { parseArgs } from 'node:util'

/** What `npm run bench -- [NAME] [--rounds N] [--scale X] [--minutes N] [--profile DIR]` says. */
export interface BenchOptions {
  name: string | undefined
  /** Of those benchmarks that repeat themselves; each has its own default. */
  rounds: number | undefined
  /** Counts of messages are multiplied with it: 0.05 shows whether a benchmark works at all. */
  scale: number
  /** Of those that go on for minutes; each has its own default. */
  minutes: number | undefined
  /** Agents write their CPU profiles there. */
  profile: string | undefined
}

export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: 'string' },
      scale: { type: 'string', default: '1' },
      minutes: { type: 'string' },
      profile: { type: 'string' }
    }
  })
  return {
    name: positionals[0],
    rounds: values.rounds === undefined ? undefined : positive('--rounds', values.rounds),
    scale: positive('--scale', values.scale),
    minutes: values.minutes === undefined ? undefined : positive('--minutes', values.minutes),
    profile: values.profile
  }
}

function positive(flag: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new RangeError(`${flag} must be a number above 0, not '${text}'`)
  return value
}

/** A count of messages at the scale wanted: a multiple of 50, so that 50 devices share it evenly. */
export function scaled(count: number, { scale }: BenchOptions): number {
  return Math.max(50, Math.round((count * scale) / 50) * 50)
}
