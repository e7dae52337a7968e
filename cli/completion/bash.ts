import { type CommandNode, flatten, type Value } from './command-tree.ts'

/** A script for bash ≥ 3.2, without the package bash-completion. */
export function bashScript(tree: CommandNode): string {
  const nodes = flatten(tree)
  const cases = (lines: string[]): string => lines.map(line => `    ${line} ;;\n`).join('')
  const commands = nodes
    .filter(node => node.commands.length > 0)
    .map(node => `${nameOf(node)}) echo ${quoted(node.commands.map(lastOf))}`)
  const options = nodes.map(
    node => `${nameOf(node)}) echo ${quoted(node.options.flatMap(({ names }) => names))}`
  )
  const values = nodes.flatMap(node =>
    node.options.flatMap(({ names, value }) =>
      value === undefined
        ? []
        : [
            `${names.map(name => `'${node.path.join(' ')}|${name}'`).join('|')}) echo ${word(value)}`
          ]
    )
  )
  const args = nodes.flatMap(node =>
    node.argument === undefined ? [] : [`${nameOf(node)}) echo ${word(node.argument)}`]
  )
  return `# Completion of fieldline for bash. Made by: fieldline completion bash
_fieldline_commands() {
  case "$1" in
${cases(commands)}  esac
}

_fieldline_options() {
  case "$1" in
${cases(options)}  esac
}

# What an option's value is; nothing when it takes none.
_fieldline_value() {
  case "$1|$2" in
${cases(values)}  esac
}

_fieldline_argument() {
  case "$1" in
${cases(args)}  esac
}

_fieldline() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path='' value='' word i words
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == '=' ]]; then continue; fi
    if [[ -n $value ]]; then value=''; continue; fi
    case "$word" in
      -*) value="$(_fieldline_value "$path" "$word")" ;;
      *) [[ " $(_fieldline_commands "$path") " == *" $word "* ]] && path="\${path:+$path }$word" ;;
    esac
  done
  if [[ $cur == '=' ]]; then cur=''; fi
  if [[ -z $value && $cur == -* ]]; then
    value="choice $(_fieldline_options "$path")"
  elif [[ -z $value ]]; then
    words="$(_fieldline_commands "$path")"
    value="\${words:+choice $words}"
    value="\${value:-$(_fieldline_argument "$path")}"
  fi
  local IFS=$'\\n'
  case "$value" in
    'choice '*)
      COMPREPLY=($(IFS=' '; compgen -W "\${value#choice }" -- "$cur")) ;;
    file)
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$cur")) ;;
    directory)
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -d -- "$cur")) ;;
  esac
}

complete -F _fieldline fieldline
`
}

function nameOf(node: CommandNode): string {
  return `'${node.path.join(' ')}'`
}

function lastOf(node: CommandNode): string {
  return node.path.at(-1) ?? ''
}

function word(value: Value): string {
  return quoted(value.kind === 'choice' ? ['choice', ...value.choices] : [value.kind])
}

function quoted(words: readonly string[]): string {
  return `'${words.join(' ').replaceAll("'", String.raw`'\''`)}'`
}
