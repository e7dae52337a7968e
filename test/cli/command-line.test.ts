import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { type Command, CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { commandTree, flatten } from '../../cli/completion/command-tree.ts'
import { createProgram } from '../../cli/program.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'

const tree = commandTree(await createProgram(() => true))
const PATHS = flatten(tree).map(({ path }) => path)

interface Outcome {
  code: string
  exitCode: number
  text: string
}

/** What the parser makes of it; nothing is run, as the arguments end before that. */
async function parse(args: readonly string[]): Promise<Outcome> {
  const program = await createProgram(() => true)
  let text = ''
  const quiet = (command: Command): void => {
    command.configureOutput({
      writeOut: out => {
        text += out
      },
      writeErr: out => {
        text += out
      }
    })
    for (const child of command.commands) quiet(child)
  }
  quiet(program)
  try {
    await program.parseAsync([...args], { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return { code: error.code, exitCode: error.exitCode, text }
  }
  throw new Error(`${args.join(' ')} was run`)
}

async function commandAt(at: readonly string[]): Promise<Command> {
  let command = await createProgram(() => true)
  for (const name of at) {
    const child = command.commands.find(each => each.name() === name)
    if (!child) throw new Error(`no command ${at.join(' ')}`)
    command = child
  }
  return command
}

function shown(at: readonly string[]): string {
  return ['fieldline', ...at].join(' ')
}

test.each(PATHS.map(at => [shown(at), at] as const))(
  'the help of %s has a description and examples of it, in plain text',
  async (name, at) => {
    const { code, exitCode, text } = await parse([...at, '--help'])
    expect([code, exitCode]).toEqual(['commander.helpDisplayed', 0])
    const [usage, ...rest] = text.split('\n')
    expect(usage).toMatch(new RegExp(`^Usage: ${name} `))
    expect(rest[1].length).toBeGreaterThan(10)
    const examples = text.slice(text.lastIndexOf('\nExamples:\n'))
    expect(text).toContain('\nExamples:\n')
    expect(examples).toContain(`$ ${name}`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
    expect(text.split('\n').filter(line => line.length > 120)).toEqual([])
  }
)

test.each(PATHS.map(at => [shown(at), at] as const))(
  '%s refuses an option that it does not know, and names the nearest',
  async (_, at) => {
    const command = await commandAt(at)
    const needed = command.options
      .filter(option => option.mandatory)
      .flatMap(option => [option.long ?? '', option.argChoices?.[0] ?? 'a=b'])
    const { code, text } = await parse([...at, ...needed, '--hepl'])
    expect(code).toBe('commander.unknownOption')
    expect(text).toContain('(Did you mean --help?)')
  }
)

test('every command of the overview is in a group, and says in a few words what it does', async () => {
  const program = await createProgram(() => false)
  const { text } = await parse(['--help'])
  for (const command of program.commands) {
    expect([command.name(), command.helpGroup()]).toEqual([
      command.name(),
      expect.stringMatching(/:$/)
    ])
    expect(command.summary().length).toBeLessThan(80)
  }
  const headings = text.match(/^[A-Z][a-z ]+:$/gm)
  expect(headings).toEqual([
    ...['Options:', 'Run:', 'Look at it:', 'Data:', 'Detection:', 'Configuration:'],
    ...['Commands:', 'Examples:']
  ])
})

const MAIN = path.join(
  process.env.FIELDLINE_DIST ?? path.join(packageRoot(), 'dist'),
  'cli/main.js'
)

function run(args: readonly string[], env: Record<string, string> = { NO_COLOR: '1' }) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: '/nonexistent', ...env }
  })
  return { status, stdout, stderr }
}

test('an option mistyped ends with exit code 2, nobody there with 1, and no terminal with 2', () => {
  expect(run(['status', '--jsn'])).toMatchObject({
    ...{ status: 2, stdout: '' },
    stderr: expect.stringContaining('(Did you mean --json?)')
  })
  const nobody = run(['status', '127.0.0.1:9'])
  expect(nobody).toMatchObject({ status: 1, stdout: '' })
  expect(nobody.stderr).toMatch(/^fieldline: Nothing to be had from http:\/\/127\.0\.0\.1:9\//)
  expect(run(['top'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('status --json')
  })
  expect(run(['status', '--fail-on', 'ful'])).toMatchObject({
    ...{ status: 2, stderr: expect.stringContaining("did you mean 'full'?") }
  })
})

test.each([[{ NO_COLOR: '1' }], [{}], [{ NO_COLOR: '1', FORCE_COLOR: '1' }]])(
  'into a pipe go no escape codes: %j',
  env => {
    for (const args of [[], ['--help'], ['log', 'inspect', '/nonexistent'], ['config', 'show']]) {
      const { stdout, stderr } = run(args, env)
      expect(`${stdout}${stderr}`).not.toContain('\x1b')
    }
  }
)

test('the script that completes is printed by the command that was built', () => {
  const { status, stdout } = run(['completion', 'bash'])
  expect(status).toBe(0)
  expect(stdout).toContain('complete -F _fieldline fieldline')
})
