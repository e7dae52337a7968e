import { alternativeFor, type SchemaNode } from './config-schema.ts'

/** One field of the configuration. */
export interface ReferenceRow {
  readonly path: string
  readonly type: string
  readonly fallback: string
  readonly description: string
}

/** Every field in one Markdown table a section: path, type, default, meaning. */
export function referenceTables(root: SchemaNode): string {
  const sections = Object.entries(root.properties ?? {}).map(([name, node]) => {
    const rows = rowsOf(name, node, false)
    const lines = rows.map(
      row => `| \`${row.path}\` | ${row.type} | ${row.fallback} | ${row.description} |`
    )
    const head = '| Field | Type | Default | Meaning |\n|---|---|---|---|'
    return `## ${name}\n\n${node.description ?? ''}\n\n${head}\n${lines.join('\n')}\n`
  })
  return sections.join('\n')
}

/** The same as plain data, for programs. */
export function referenceRows(root: SchemaNode): ReferenceRow[] {
  return Object.entries(root.properties ?? {}).flatMap(([name, node]) => rowsOf(name, node, false))
}

function rowsOf(path: string, node: SchemaNode, required: boolean): ReferenceRow[] {
  const mapping = alternativeFor(node, {})
  const list = alternativeFor(node, [])
  const inner = list.items && alternativeFor(list.items, {}).properties ? list.items : undefined
  const own: ReferenceRow = {
    path,
    type: escapeCell(typeText(node)),
    fallback: required ? '*required*' : escapeCell(defaultText(node)),
    description: escapeCell(node.description ?? '')
  }
  // A section's heading tells of it.
  const section = !path.includes('.') && node.type === 'object'
  return [
    ...(section ? [] : [own]),
    ...childRows(path, mapping),
    ...(inner ? childRows(`${path}[]`, alternativeFor(inner, {})) : [])
  ]
}

function childRows(path: string, mapping: SchemaNode): ReferenceRow[] {
  return Object.entries(mapping.properties ?? {}).flatMap(([key, child]) =>
    rowsOf(`${path}.${key}`, child, mapping.required?.includes(key) ?? false)
  )
}

function typeText(node: SchemaNode): string {
  if (node.title) return node.title
  if (node.anyOf) return [...new Set(node.anyOf.map(typeText))].join(' or ')
  // A number and its digits as text are written the same.
  if (node.enum) return [...new Set(node.enum.map(value => `\`${value}\``))].join(' | ')
  if (node.const !== undefined) return `\`${node.const}\``
  if (node.type === 'array') return `list of ${node.items ? typeText(node.items) : 'anything'}`
  if (node.type === 'integer' || node.type === 'number') return numberText(node)
  return { string: 'text', boolean: '`true` | `false`', object: 'mapping', null: '`null`' }[
    String(node.type)
  ]!
}

function numberText({ type, minimum, maximum }: SchemaNode): string {
  const range = [minimum, maximum].map(bound => bound ?? '').join('…')
  return `${type === 'integer' ? 'whole number' : 'number'}${range === '…' ? '' : ` ${range}`}`
}

function defaultText({ default: value }: SchemaNode): string {
  if (value === undefined) return 'none'
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
