import type { z } from 'zod'
import { type ConfigDocument, parseConfigDocument } from './config-document.ts'
import {
  ConfigError,
  type ConfigPath,
  type Finding,
  type Problem,
  problemsOf,
  renderPath
} from './config-findings.ts'
import {
  alternativeFor,
  effectiveValues,
  jsonSchemaOf,
  keysAt,
  type SchemaNode,
  typesOf
} from './config-schema.ts'
import {
  expandVariables,
  FILE_PREFIX,
  readSecretFile,
  SecretFile,
  type SecretSources,
  scrub
} from './secrets.ts'

export { ConfigError, type Finding, renderFinding } from './config-findings.ts'

/** A value from the command line, in place of what the file says. */
export interface ConfigOverride {
  /** As the author wrote it: `--kafka`. */
  readonly flag: string
  readonly path: ConfigPath
  readonly value: unknown
}

export interface ConfigSources<S extends z.ZodType> extends SecretSources {
  readonly schema: S
  /** Absent: every field has its default. */
  readonly file?: { readonly name: string; readonly text: string }
  readonly overrides?: readonly ConfigOverride[]
}

export interface LoadedConfig<T> {
  readonly value: T
  /** As it would be written in the file: defaults put in, secrets taken out. */
  readonly effective: unknown
  /** As it was given, variables, secrets and flags put in, before the schema: never to be printed. */
  readonly given: unknown
}

/**
 * Reads a configuration: YAML, then variables and secret files inside its scalars, then flags, then
 * the schema. Text that comes from the environment is never parsed as YAML, so a password may hold
 * any character.
 *
 * A check across fields is made once each of them is valid by itself; apart from that every mistake
 * is found in one go.
 *
 * @throws {ConfigError} CONFIG_INVALID with all findings in the order of the file; USAGE when only
 *   flags are wrong.
 */
export function readConfig<S extends z.ZodType>(
  sources: ConfigSources<S>
): LoadedConfig<z.output<S>> {
  const { schema, file, overrides = [] } = sources
  const node = jsonSchemaOf(schema)
  const document = file && parseConfigDocument(file.text, file.name)
  if (document && document.values === undefined && document.findings.length > 0) {
    throw new ConfigError('CONFIG_INVALID', document.findings)
  }

  const expansion = new Expansion(sources)
  const kept = overrides.reduce<unknown>(
    (values, { path }) => withoutPath(values, path),
    document?.values
  )
  const expanded = expansion.expand(kept, node, []) ?? {}
  const given = overrides.reduce<unknown>(
    (values, { path, value }) => withPath(values, path, value),
    expanded
  )

  const problems = [...expansion.problems]
  const parsed = schema.safeParse(given)
  const around = {
    valueAt: (path: ConfigPath): unknown => lookUp(given, path),
    keysAt: (path: ConfigPath): string[] => keysAt(node, path)
  }
  for (const problem of problemsOf(parsed.error?.issues ?? [], around)) {
    // What could not be expanded is already told; what the schema says of it would be noise.
    if (!expansion.problems.some(({ path }) => isWithin(problem.path, path))) problems.push(problem)
  }

  const placed = problems.map(problem =>
    place(problem, overrides, file?.name, document, expansion.secrets)
  )
  const findings = [...(document?.findings ?? []), ...placed].sort(byPlace)
  if (findings.length > 0 || !parsed.success) {
    const flags = overrides.map(({ flag }) => flag)
    const onlyFlags = findings.every(({ source }) => flags.includes(source))
    throw new ConfigError(onlyFlags ? 'USAGE' : 'CONFIG_INVALID', findings)
  }
  return { value: parsed.data, effective: effectiveValues(node, given), given }
}

/** Puts variables and secret files into scalars; collects what cannot be put in. */
class Expansion {
  readonly problems: Problem[] = []
  readonly secrets = new Set<string>()
  readonly #sources: SecretSources

  constructor(sources: SecretSources) {
    this.#sources = sources
  }

  expand(value: unknown, node: SchemaNode | undefined, path: ConfigPath): unknown {
    if (value === null && node && isEmptyCollection(node)) return undefined
    if (typeof value === 'string') return this.#text(value, node, path)
    if (typeof value !== 'object' || value === null) return value
    const shape = node && alternativeFor(node, value)
    if (Array.isArray(value)) {
      return value.map((item, index) => this.expand(item, shape?.items, [...path, index]))
    }
    // fromEntries defines properties: a key `__proto__` stays a key.
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, child]) => {
        const childNode = ownProperty(shape?.properties, key)
        const result = this.expand(child, childNode, [...path, key])
        return result === undefined ? [] : [[key, result]]
      })
    )
  }

  #text(written: string, node: SchemaNode | undefined, path: ConfigPath): unknown {
    const secret = node?.writeOnly === true
    try {
      let text = expandVariables(written, this.#sources.env)
      if (written.startsWith(FILE_PREFIX)) {
        if (!secret) throw new SyntaxError(`'@file:' is for secrets; use \${NAME} here`)
        const reference = text
        text = readSecretFile(reference, this.#sources.readFile)
        this.secrets.add(text)
        if (node.rotates) return new SecretFile(reference.slice(FILE_PREFIX.length))
      }
      if (secret) this.secrets.add(text)
      return text === written || !node ? text : asType(text, typesOf(node))
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      this.problems.push({ path, message: error.message })
      // Left as written: a check across fields must not take the value for absent.
      return written
    }
  }
}

/** `kafka:` with nothing behind it, all its fields being commented out, is the section's default. */
function isEmptyCollection(node: SchemaNode): boolean {
  const types = typesOf(node)
  return types.every(type => type === 'object' || type === 'array')
}

/** A variable is text; where the schema wants a number, a switch or nothing, it may be that. */
function asType(text: string, types: readonly string[]): unknown {
  if (types.includes('string')) return text
  if (types.includes('boolean') && /^(true|false)$/.test(text)) return text === 'true'
  const numeric = types.includes('integer') || types.includes('number')
  if (numeric && /^-?[0-9]+(\.[0-9]+)?$/.test(text)) return Number(text)
  return types.includes('null') && (text === '' || text === 'null') ? null : text
}

function place(
  problem: Problem,
  overrides: readonly ConfigOverride[],
  fileName: string | undefined,
  document: ConfigDocument | undefined,
  secrets: ReadonlySet<string>
): Finding {
  const { path, atKey, suggestion } = problem
  const message = scrub(problem.message, secrets)
  const flag = overrides.find(override => isWithin(path, override.path))?.flag
  if (flag) return { source: flag, path: '', message, suggestion }
  const rendered = { path: renderPath(path), message, suggestion }
  if (!document) return { source: '', ...rendered }
  const position = atKey ? document.locateKey(path) : document.locate(path)
  return { source: fileName ?? '', ...position, ...rendered }
}

function byPlace(a: Finding, b: Finding): number {
  return (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
}

function isWithin(path: ConfigPath, outer: ConfigPath): boolean {
  return outer.every((part, index) => path[index] === part)
}

export function lookUp(value: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>((at, part) => ownProperty(at as never, part), value)
}

function ownProperty<T>(of: Readonly<Record<PropertyKey, T>> | undefined | null, key: PropertyKey) {
  return of !== null && typeof of === 'object' && Object.hasOwn(of, key) ? of[key] : undefined
}

function isMapping(value: unknown): value is Record<PropertyKey, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function withPath(values: unknown, [key, ...rest]: ConfigPath, value: unknown): unknown {
  if (key === undefined) return value
  // A section that is no mapping is a finding of its own.
  if (values !== undefined && !isMapping(values)) return values
  return { ...values, [key]: withPath(values?.[key], rest, value) }
}

export function withoutPath(values: unknown, [key, ...rest]: ConfigPath): unknown {
  if (!isMapping(values) || !Object.hasOwn(values, key)) return values
  const { [key]: child, ...others } = values
  return rest.length === 0 ? others : { ...others, [key]: withoutPath(child, rest) }
}
