import type { Argument, Command, Option } from 'commander'

/** What may stand at a place of the command line. */
export type Value =
  | { kind: 'choice'; choices: readonly string[] }
  | { kind: 'file' }
  | { kind: 'directory' }
  /** Only the person knows. */
  | { kind: 'any' }

export interface OptionNode {
  /** `-c`, `--config` */
  names: string[]
  description: string
  /** undefined: it takes none. */
  value: Value | undefined
}

export interface CommandNode {
  /** Behind `fieldline`: `log`, `verify`. */
  path: string[]
  description: string
  commands: CommandNode[]
  options: OptionNode[]
  /** Of its arguments; undefined: it takes none. */
  argument: Value | undefined
}

/** The command line as plain data, in the order of its help. */
export function commandTree(command: Command, path: string[] = []): CommandNode {
  const help = command.createHelp()
  const children = command.commands.filter(child => child.name() !== 'help')
  const [argument] = command.registeredArguments
  return {
    path,
    description: command.summary() || command.description(),
    commands: children.map(child => commandTree(child, [...path, child.name()])),
    options: help.visibleOptions(command).map(optionNode),
    argument: argument && expectedAt(argument, argument.name())
  }
}

/** The command and all below it. */
export function flatten(node: CommandNode): CommandNode[] {
  return [node, ...node.commands.flatMap(flatten)]
}

function optionNode(option: Option): OptionNode {
  const names = [option.short, option.long].filter(name => name !== undefined)
  const [, placeholder] = /[<[]([^>\]]+)[>\]]/.exec(option.flags) ?? []
  const value = placeholder === undefined ? undefined : expectedAt(option, placeholder)
  return { names, description: option.description, value }
}

/** @param name Of the value, as help shows it: `<file>` and `<dir>` say what they are. */
function expectedAt(place: Option | Argument, name: string): Value {
  const { argChoices, parseArg } = place
  const choices = argChoices ?? (parseArg as { choices?: readonly string[] } | undefined)?.choices
  if (choices) return { kind: 'choice', choices }
  if (/^files?$/.test(name)) return { kind: 'file' }
  return name === 'dir' ? { kind: 'directory' } : { kind: 'any' }
}
