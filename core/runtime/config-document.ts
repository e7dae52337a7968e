import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit
} from 'yaml'
import type { ConfigPath, Finding } from './config-findings.ts'

/** A YAML text as plain values, with the way back from a value to its line. */
export interface ConfigDocument {
  /** Undefined for an empty document, and when the text could not be read. */
  readonly values: unknown
  /** Syntax errors, duplicate keys, unknown aliases and tags. */
  readonly findings: readonly Finding[]
  /** Of the value, or of the nearest thing around it that is written down; both count from 1. */
  locate(path: ConfigPath): Position
  /** Of the key itself. */
  locateKey(path: ConfigPath): Position
}

interface Position {
  readonly line: number
  readonly column: number
}

/** Configurations are written by hand; what is larger than this is a mistaken path. */
const TEXT_CHARACTERS_MAX = 1024 * 1024

/** Far beyond any need, and far below what exhausts the stack of a recursive parser. */
const DEPTH_MAX = 200

/** One missing bracket makes many errors; the later ones are its echo. */
const SYNTAX_FINDINGS_MAX = 20

export function parseConfigDocument(text: string, fileName: string): ConfigDocument {
  if (text.length > TEXT_CHARACTERS_MAX) return unreadable(fileName, 'is larger than 1 MiB')
  if (isTooDeep(text)) return unreadable(fileName, 'is nested too deeply')
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  const findings: Finding[] = [...document.errors, ...document.warnings]
    .slice(0, SYNTAX_FINDINGS_MAX)
    .map(({ code, pos }) => ({
      source: fileName,
      ...at(pos[0]),
      path: '',
      message: code === 'DUPLICATE_KEY' ? duplicateKey(text, pos[0]) : syntaxError(code)
    }))
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document)) return
      const message = "'*' refers to an anchor that does not exist; quote the text if it is a value"
      findings.push({ source: fileName, ...at(alias.range?.[0] ?? 0), path: '', message })
    }
  })
  const readable =
    document.errors.every(error => error.code === 'DUPLICATE_KEY') &&
    findings.every(finding => !finding.message.startsWith("'*'"))
  let values: unknown
  try {
    values = readable ? document.toJS() : undefined
  } catch {
    return unreadable(fileName, 'repeats its anchors too often')
  }
  return {
    values: values ?? undefined,
    findings,
    locate: path => at(offsetOf(document, path, false)),
    locateKey: path => at(offsetOf(document, path, true))
  }
}

/**
 * An upper bound of the nesting, told without recursion: the parser has none of its own, and V8
 * aborts the process when a regular expression is compiled at the stack's very end.
 */
function isTooDeep(text: string): boolean {
  // A block is nested no deeper than it is indented.
  if (new RegExp(`^[ \\t?:-]{${2 * DEPTH_MAX}}[^\\n]*\\S`, 'm').test(text)) return true
  let depth = 0
  for (const character of text) {
    if (character === '[' || character === '{') depth++
    if (character === ']' || character === '}') depth = Math.max(0, depth - 1)
    if (depth > DEPTH_MAX) return true
  }
  return false
}

function unreadable(source: string, message: string): ConfigDocument {
  const start = { line: 1, column: 1 }
  const findings = [{ source, ...start, path: '', message: `the file ${message}` }]
  return { values: undefined, findings, locate: () => start, locateKey: () => start }
}

function offsetOf(document: Document.Parsed, path: ConfigPath, key: boolean): number {
  let node: Node | null | undefined = document.contents
  let offset = node?.range?.[0] ?? 0
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document)
    const last = index === path.length - 1
    if (isMap(node)) {
      // The last one wins in a duplicate, as it does in the value.
      const pair = node.items.findLast(({ key }) => isScalar(key) && String(key.value) === part)
      if (!pair) break
      offset = (pair.key as Node).range?.[0] ?? offset
      node = pair.value as Node | null
      const written = isScalar(node) && node.source !== undefined && node.source !== ''
      if (last && !key && written) offset = node?.range?.[0] ?? offset
    } else if (isSeq(node)) {
      node = node.items[part as number] as Node | undefined
      if (!node) break
      offset = node.range?.[0] ?? offset
    } else break
  }
  return offset
}

function duplicateKey(text: string, offset: number): string {
  const key = /^["']?([\w.-]+)/.exec(text.slice(offset, offset + 80))?.[1]
  return `key ${key ? `'${key}' ` : ''}is given twice`
}

/** Our own words throughout: the library's messages quote the text, which may hold a password. */
function syntaxError(code: string): string {
  return SYNTAX_ERRORS[code] ?? 'this is not valid YAML'
}

const SYNTAX_ERRORS: Readonly<Record<string, string>> = {
  BAD_INDENT: 'not valid YAML: wrong indentation, or a bracket before it is not closed',
  TAB_AS_INDENT: 'not valid YAML: a tab indents; use spaces',
  BLOCK_AS_IMPLICIT_KEY: "not valid YAML: a second ': ' in one line; quote the value",
  MULTILINE_IMPLICIT_KEY: "not valid YAML: a key without ':' behind it",
  MISSING_CHAR: 'not valid YAML: a quote, bracket, brace or comma is missing',
  BAD_SCALAR_START: 'not valid YAML: a value begins with a reserved character; quote it',
  BAD_DQ_ESCAPE: 'not valid YAML: unknown escape sequence; use single quotes',
  TAG_RESOLVE_FAILED: "not valid YAML: unknown tag; quote a value that begins with '!'",
  MULTIPLE_DOCS: "a second document begins here; one file holds one ('---' once)"
}
