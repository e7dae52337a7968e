import { Command, InvalidArgumentError, Option } from 'commander'
import { type DemoFlags, runDemo } from '../demo/demo.ts'

const NOTES = `
Exit codes: 0 nothing was lost or reordered, 1 something was or the demo failed, 130 Ctrl-C.

Examples:
  $ fieldline demo
  $ fieldline demo --delivery exactly_once --seed 7
  $ fieldline demo --fast --json > result.json
`

/** `fieldline demo`: the product's promise in 90 seconds. */
export function demoCommand(): Command {
  return new Command('demo')
    .description(
      'Show Fieldline at work: a real Kafka, an agent, 100 devices; then Kafka and the agent are killed.'
    )
    .option('--fast', 'a shorter script, for tests', false)
    .option('--keep', 'keep the directory with logs and data', false)
    .option('--json', 'print the result as one JSON object; progress goes to stderr', false)
    .option('--seed <n>', 'the same seed gives the same readings and faults', parseSeed, 1)
    .addOption(
      new Option('--delivery <mode>', 'how records reach Kafka').choices([
        'at_least_once',
        'exactly_once'
      ])
    )
    .addHelpText('after', NOTES)
    .action(async (flags: DemoFlags) => {
      const { exitCode, atOnce } = await runDemo(flags)
      if (atOnce) process.exit(exitCode)
      process.exitCode = exitCode
    })
}

function parseSeed(text: string): number {
  const seed = Number(text)
  if (!/^\d+$/.test(text) || seed > 0xffff_ffff) {
    throw new InvalidArgumentError('a seed is a whole number from 0 to 4294967295')
  }
  return seed
}
