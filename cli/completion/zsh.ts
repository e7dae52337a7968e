import { type CommandNode, flatten, type Value } from './command-tree.ts'

/** A script for zsh ≥ 5, with the descriptions of the help. */
export function zshScript(tree: CommandNode): string {
  const nodes = flatten(tree)
  const cases = (lines: string[]): string => lines.map(line => `    ${line} ;;\n`).join('')
  const described = (name: string, description: string): string =>
    quoted(`${name.replaceAll(':', '\\:')}:${description}`)
  const commands = nodes
    .filter(node => node.commands.length > 0)
    .map(node => {
      const list = node.commands.map(each => described(each.path.at(-1) ?? '', each.description))
      return `${nameOf(node)}) reply=(${list.join(' ')})`
    })
  const options = nodes.map(node => {
    const list = node.options.flatMap(({ names, description }) =>
      names.map(name => described(name, description))
    )
    return `${nameOf(node)}) reply=(${list.join(' ')})`
  })
  const values = nodes.flatMap(node =>
    node.options.flatMap(({ names, value }) => {
      if (value === undefined) return []
      const patterns = names.map(name => quoted(`${node.path.join(' ')}|${name}`))
      return [`${patterns.join('|')}) reply=(${words(value)})`]
    })
  )
  const args = nodes.flatMap(node =>
    node.argument === undefined ? [] : [`${nameOf(node)}) reply=(${words(node.argument)})`]
  )
  return `#compdef fieldline
# Completion of fieldline for zsh. Made by: fieldline completion zsh
_fieldline_commands() {
  reply=()
  case "$1" in
${cases(commands)}  esac
}

_fieldline_options() {
  reply=()
  case "$1" in
${cases(options)}  esac
}

# What an option's value is; nothing when it takes none.
_fieldline_value() {
  reply=()
  case "$1|$2" in
${cases(values)}  esac
}

_fieldline_argument() {
  reply=()
  case "$1" in
${cases(args)}  esac
}

_fieldline() {
  local at='' word cur="\${words[CURRENT]}" i
  local -a reply expected
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    if (( $#expected )); then expected=(); continue; fi
    if [[ $word == -* ]]; then
      _fieldline_value "$at" "$word"; expected=("\${reply[@]}")
    else
      _fieldline_commands "$at"
      (( \${#\${(M)reply[@]:#\${word}:*}} )) && at="\${at:+$at }$word"
    fi
  done
  if (( ! $#expected )) && [[ $cur == --*=* ]]; then
    _fieldline_value "$at" "\${cur%%=*}"; expected=("\${reply[@]}")
    compset -P '*='
  elif (( ! $#expected )) && [[ $cur == -* ]]; then
    _fieldline_options "$at"
    _describe 'option' reply
    return
  elif (( ! $#expected )); then
    _fieldline_commands "$at"
    if (( $#reply )); then _describe 'command' reply; return; fi
    _fieldline_argument "$at"; expected=("\${reply[@]}")
  fi
  case "\${expected[1]}" in
    choice) compadd -- "\${expected[@]:1}" ;;
    file) _files ;;
    directory) _files -/ ;;
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _fieldline "$@"
else
  compdef _fieldline fieldline
fi
`
}

function nameOf(node: CommandNode): string {
  return quoted(node.path.join(' '))
}

function words(value: Value): string {
  return value.kind === 'choice' ? ['choice', ...value.choices.map(quoted)].join(' ') : value.kind
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}
