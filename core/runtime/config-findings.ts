import type { z } from 'zod'
import { type ErrorCode, OperationalError } from './errors.ts'
import { nearestName } from './nearest.ts'

/** Keys and indices from the root, as they are written in the file. */
export type ConfigPath = readonly PropertyKey[]

/** One mistake of the configuration's author. */
export interface Finding {
  /** The file as the author named it, or the command-line flag; empty when neither is to blame. */
  readonly source: string
  /** Both count from 1; absent for flags. */
  readonly line?: number
  readonly column?: number
  /** `routes[1].match`; empty for the file as a whole. */
  readonly path: string
  readonly message: string
  /** What the author probably meant. */
  readonly suggestion?: string
}

/** A list generated wrongly has thousands of mistakes; nobody reads on from here. */
const LINES_MAX = 100

/** All mistakes at once, one a line. */
export class ConfigError extends OperationalError {
  readonly findings: readonly Finding[]

  constructor(code: ErrorCode, findings: readonly Finding[]) {
    const lines = findings.slice(0, LINES_MAX).map(renderFinding)
    if (findings.length > LINES_MAX) lines.push(`… and ${findings.length - LINES_MAX} more`)
    const head = lines.length === 1 ? '' : `${findings.length} mistakes in the configuration:\n  `
    super(code, head + lines.join('\n  '))
    this.findings = findings
  }
}

/** `fieldline.yaml:12:5: kafka.broker: unknown key; did you mean 'brokers'?` */
export function renderFinding(finding: Finding): string {
  const { source, line, column, path, message, suggestion } = finding
  const place = line === undefined ? source : `${source}:${line}:${column}`
  const text = suggestion ? `${message}; did you mean '${suggestion}'?` : message
  return [place, path, text].filter(part => part !== '').join(': ')
}

export function renderPath(path: ConfigPath): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    return text === '' ? String(part) : `${text}.${String(part)}`
  }, '')
}

/** What is wrong at a path, before anybody knows which line that is. */
export interface Problem {
  readonly path: ConfigPath
  /** The key is wrong, not its value. */
  readonly atKey?: boolean
  readonly message: string
  readonly suggestion?: string
}

/** What the words for a problem are made of. */
export interface Surroundings {
  /** What stands at a path. */
  readonly valueAt: (path: ConfigPath) => unknown
  /** The valid keys of the mapping at a path. */
  readonly keysAt: (path: ConfigPath) => readonly string[]
}

/**
 * Puts zod's issues into the author's words. Values are never repeated, save by the fields' own
 * checks: a value may be a secret in the wrong place.
 *
 * @param prefix Where the issues' paths begin.
 */
export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  around: Surroundings,
  prefix: ConfigPath = []
): Problem[] {
  const mistyped = new Set(issues.filter(isTypeError).map(({ path }) => renderPath(path)))
  return issues.flatMap(issue => {
    // Zod also measures a list where it wants text; that it is a list is told already.
    const measured = issue.code === 'too_small' || issue.code === 'too_big'
    if (measured && mistyped.has(renderPath(issue.path))) return []
    return problemsOfOne(issue, around, [...prefix, ...issue.path])
  })
}

function problemsOfOne(issue: z.core.$ZodIssue, around: Surroundings, path: ConfigPath): Problem[] {
  const value = around.valueAt(path)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => unknownKey([...path, key], key, around.keysAt(path)))
  }
  if (issue.code === 'invalid_union') {
    // The alternative whose type fits says what is wrong inside it.
    const fitting = issue.errors.find(
      errors => errors.length > 0 && !errors.some(e => e.path.length === 0 && isTypeError(e))
    )
    if (fitting) return problemsOf(fitting, around, path)
    const wanted = new Set(issue.errors.flatMap(errors => errors.slice(0, 1).map(expectation)))
    return [{ path, message: `expected ${[...wanted].join(' or ')}, got ${kindOf(value)}` }]
  }
  if (issue.code === 'custom') return [{ path, message: issue.message }]
  if (value === undefined) return [{ path, message: 'is required' }]
  return [{ path, ...wrongValue(issue, value) }]
}

function unknownKey(path: ConfigPath, key: string, valid: readonly string[]): Problem {
  const suggestion = nearestName(key, valid)
  const message = suggestion ? 'unknown key' : `unknown key; valid here: ${valid.join(', ')}`
  return { path, atKey: true, message, suggestion }
}

function wrongValue(issue: z.core.$ZodIssue, value: unknown): Omit<Problem, 'path'> {
  switch (issue.code) {
    case 'invalid_type': {
      const message = `expected ${expectation(issue)}, got ${kindOf(value)}`
      if (issue.expected === 'boolean') return { message, suggestion: BOOLEANS[String(value)] }
      const scalar = typeof value === 'number' || typeof value === 'boolean'
      return { message: issue.expected === 'string' && scalar ? `${message}; quote it` : message }
    }
    case 'invalid_value': {
      const names = issue.values.map(String)
      const suggestion = typeof value === 'string' ? nearestName(value, names) : undefined
      return { message: `expected ${expectation(issue)}`, suggestion }
    }
    case 'too_small':
      return { message: `${limitVerb(issue.origin, Number(issue.minimum), 'least')}` }
    case 'too_big':
      return { message: `${limitVerb(issue.origin, Number(issue.maximum), 'most')}` }
    default:
      return { message: issue.message }
  }
}

/** YAML 1.2 has no other words for them; people do. */
const BOOLEANS: Readonly<Record<string, string>> = {
  on: 'true',
  yes: 'true',
  off: 'false',
  no: 'false'
}

function limitVerb(origin: string, limit: number, which: 'least' | 'most'): string {
  if (origin === 'array') return `needs at ${which} ${limit} ${limit === 1 ? 'entry' : 'entries'}`
  if (origin !== 'string') return `must be at ${which} ${limit}`
  return limit === 1 && which === 'least'
    ? 'must not be empty'
    : `must have at ${which} ${limit} characters`
}

function isTypeError(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type'
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text',
  int: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  null: 'nothing'
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') {
    const names = issue.values.map(value => `'${String(value)}'`)
    return names.length === 1 ? names[0] : `one of ${names.join(', ')}`
  }
  return issue.code === 'invalid_type' ? (EXPECTED[issue.expected] ?? issue.expected) : 'a value'
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'boolean') return 'true or false'
  return typeof value === 'object' ? 'a mapping' : 'a number'
}
