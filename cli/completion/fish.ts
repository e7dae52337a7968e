import { type CommandNode, flatten, type OptionNode, type Value } from './command-tree.ts'

/** A script for fish ≥ 3.1, with the descriptions of the help. */
export function fishScript(tree: CommandNode): string {
  const nodes = flatten(tree)
  const known = nodes.filter(({ path }) => path.length > 0).map(({ path }) => path.join(' '))
  const taking = nodes.flatMap(({ path, options }) =>
    options
      .filter(({ value }) => value !== undefined)
      .flatMap(({ names }) => names.map(name => `${path.join(' ')}|${name}`))
  )
  return `# Completion of fieldline for fish. Made by: fieldline completion fish
set -g __fieldline_commands ${known.map(quoted).join(' ')}
set -g __fieldline_taking ${taking.map(quoted).join(' ')}

# Is the command that is being typed this one?
function __fieldline_at
  set -l at ''
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
    else if string match -q -- '-*' $word
      contains -- "$at|$word" $__fieldline_taking; and set skip 1
    else if contains -- (string trim -- "$at $word") $__fieldline_commands
      set at (string trim -- "$at $word")
    end
  end
  test "$at" = "$argv[1]"
end

complete -c fieldline -e
complete -c fieldline -f
${nodes.flatMap(linesOf).join('\n')}
`
}

function linesOf(node: CommandNode): string[] {
  const at = `-n ${quoted(`__fieldline_at "${node.path.join(' ')}"`)}`
  return [
    ...node.commands.map(
      child => `complete -c fieldline ${at} -a ${child.path.at(-1)} -d ${quoted(child.description)}`
    ),
    ...node.options.map(option => `complete -c fieldline ${at} ${optionText(option)}`),
    ...(node.argument ? [argumentText(node.argument)] : [])
      .filter(text => text !== '')
      .map(text => `complete -c fieldline ${at} ${text}`)
  ]
}

function optionText({ names, description, value }: OptionNode): string {
  const flags = names.map(name =>
    name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
  )
  const kind = value === undefined ? [] : [valueText(value)]
  return [...flags, ...kind, `-d ${quoted(description)}`].join(' ')
}

function valueText(value: Value): string {
  if (value.kind === 'file') return '-r -F'
  if (value.kind === 'any') return '-x'
  return `-x ${argumentText(value)}`
}

function argumentText(value: Value): string {
  if (value.kind === 'file') return '-F'
  if (value.kind === 'directory') return "-a '(__fish_complete_directories)'"
  return value.kind === 'choice' ? `-a ${quoted(value.choices.join(' '))}` : ''
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
