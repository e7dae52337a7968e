import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { Command, Option } from 'commander'
import { expect, test } from 'vitest'
import { bashScript } from '../../cli/completion/bash.ts'
import { type CommandNode, commandTree, flatten } from '../../cli/completion/command-tree.ts'
import { fishScript } from '../../cli/completion/fish.ts'
import { zshScript } from '../../cli/completion/zsh.ts'
import { createProgram } from '../../cli/program.ts'
import { temporaryDirectory } from '../kit/temp-directory.ts'

const tree = commandTree(await createProgram(() => true))

type Shell = (typed: readonly string[], directory: string) => string[]

function run(program: string, script: string, directory: string): string[] {
  const { status, stdout, stderr } = spawnSync(program, ['-c', script], {
    ...{ cwd: directory, encoding: 'utf8' },
    env: { PATH: process.env.PATH, HOME: directory, TERM: 'dumb' }
  })
  expect([status, stderr]).toEqual([0, ''])
  return stdout.split('\n').filter(line => line !== '')
}

function scriptFile(directory: string, script: string): string {
  const file = path.join(directory, '.completion')
  fs.writeFileSync(file, script)
  return file
}

function quoted(words: readonly string[]): string {
  return words.map(word => `'${word}'`).join(' ')
}

const bash: Shell = (typed, directory) =>
  run(
    'bash',
    `source ${scriptFile(directory, bashScript(tree))}
     complete -p fieldline | grep -q _fieldline || exit 9
     COMP_WORDS=(${quoted(typed)}); COMP_CWORD=${typed.length - 1}
     _fieldline; printf '%s\\n' "\${COMPREPLY[@]}"`,
    directory
  )

/** What zsh's own functions would be given, as they work at a prompt only. */
const zsh: Shell = (typed, directory) =>
  run(
    'zsh',
    `compdef() { registered=$2 }
     _describe() { print -l -- "\${(@P)2}" }
     compadd() { shift; print -l -- "$@" }
     _files() { [[ $1 == -/ ]] && print -l *(/) || print -l * }
     compset() { true }
     source ${scriptFile(directory, zshScript(tree))}
     [[ $registered == fieldline ]] || exit 9
     words=(${quoted(typed)}); CURRENT=${typed.length}
     _fieldline`,
    directory
  )
    .map(line => line.replace(/(?<!\\):.*/, ''))
    .filter(line => line.startsWith((typed.at(-1) ?? '').replace(/^--\w.*=/, '')))

const fish: Shell = (typed, directory) =>
  run(
    'fish',
    `source ${scriptFile(directory, fishScript(tree))}
     complete -C ${quoted([typed.join(' ')])}`,
    directory
  ).map(line => line.split('\t')[0].replace(/^--\w.*=/, ''))

const SHELLS: readonly (readonly [string, Shell])[] = [
  ['bash', bash],
  ['zsh', zsh],
  ['fish', fish]
]
const present = SHELLS.filter(([name]) => spawnSync(name, ['-c', ':']).status === 0)

function directoryWithFiles(): string {
  const directory = temporaryDirectory()
  fs.writeFileSync(path.join(directory, 'fieldline.yaml'), '')
  fs.mkdirSync(path.join(directory, 'fielddata'))
  return directory
}

test('bash is here, so that at least its script was run', () => {
  expect(present.map(([name]) => name)).toContain('bash')
})

test.each(present)('%s completes commands, subcommands and options', (_, complete) => {
  const at = (...typed: string[]) => complete(['fieldline', ...typed], directory).sort()
  const directory = directoryWithFiles()
  expect(at('sta')).toEqual(['status'])
  expect(at('')).toEqual(expect.arrayContaining(['agent', 'detector', 'status', 'top', 'log']))
  expect(at('log', '')).toEqual(['export', 'inspect', 'repair', 'tail', 'verify'])
  expect(at('log', 'verify', '--j')).toEqual(['--json'])
  expect(at('log', 'verify', '--lane', 't')).toEqual(['telemetry'])
  expect(at('agent', '--delivery', '')).toEqual(['at_least_once', 'exactly_once'])
  expect(at('completion', 'z')).toEqual(['zsh'])
})

test.each(present)('%s completes files and directories where they are wanted', (_, complete) => {
  const directory = directoryWithFiles()
  const at = (...typed: string[]) =>
    complete(['fieldline', ...typed], directory).map(name => name.replace(/\/$/, ''))
  expect(at('agent', '-c', 'field').sort()).toEqual(['fielddata', 'fieldline.yaml'])
  expect(at('log', 'inspect', 'field')).toEqual(['fielddata'])
  expect(at('replay', 'fieldl')).toEqual(['fieldline.yaml'])
  expect(at('agent', '--id', 'field')).toEqual([])
})

test.each(present)('%s does not take the value of an option for a command', (_, complete) => {
  const directory = directoryWithFiles()
  const at = (...typed: string[]) => complete(['fieldline', ...typed], directory).sort()
  expect(at('topics', 'create', '--id', 'log', '--k')).toEqual(['--kafka'])
  expect(at('log', '--help', 'ver')).toEqual(['verify'])
})

test('bash and zsh complete a value behind an equals sign', () => {
  const directory = directoryWithFiles()
  // Bash takes it for a word of its own.
  expect(bash(['fieldline', 'agent', '--detector', '=', 'of'], directory)).toEqual(['off'])
  expect(bash(['fieldline', 'agent', '--detector', '='], directory)).toEqual(['on', 'off'])
  if (present.some(([name]) => name === 'zsh')) {
    expect(zsh(['fieldline', 'agent', '--detector=of'], directory)).toEqual(['off'])
  }
})

test('what the scripts know is the whole of the command line, options that files are given to as such', () => {
  const nodes = new Map(flatten(tree).map(node => [node.path.join(' '), node]))
  expect([...nodes.keys()]).toEqual(expect.arrayContaining(['', 'dlq replay', 'evaluate nab']))
  for (const { path: at, options } of nodes.values()) {
    const config = options.find(({ names }) => names.includes('--config'))
    if (config) expect([at, config.value]).toEqual([at, { kind: 'file' }])
    expect(options.map(({ names }) => names.at(-1))).toContain('--help')
  }
})

test('names and words that a shell would take apart stay whole', () => {
  const program = new Command('fieldline').description("it's")
  program
    .command('odd')
    .description("it's: $(odd) `text`")
    .addOption(new Option('--of <kind>', "what's").choices(['a', 'b']))
    .argument('[file]')
  const odd: CommandNode = commandTree(program)
  const directory = directoryWithFiles()
  for (const [name, script] of [
    ['bash', bashScript(odd)],
    ['zsh', zshScript(odd)],
    ['fish', fishScript(odd)]
  ] as const) {
    if (!present.some(([shell]) => shell === name)) continue
    const checked = spawnSync(name, ['-n', scriptFile(directory, script)], { encoding: 'utf8' })
    expect([name, checked.status, checked.stderr]).toEqual([name, 0, ''])
  }
})
