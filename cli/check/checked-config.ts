import { readFileSync } from 'node:fs'
import { readConfig } from '../../core/runtime/config.ts'
import { type ConfigDocument, parseConfigDocument } from '../../core/runtime/config-document.ts'
import {
  ConfigError,
  type ConfigPath,
  type Finding as Mistake,
  renderPath
} from '../../core/runtime/config-findings.ts'
import { alternativeFor, jsonSchemaOf, type SchemaNode } from '../../core/runtime/config-schema.ts'
import { OperationalError } from '../../core/runtime/errors.ts'
import { expandVariables, FILE_PREFIX } from '../../core/runtime/secrets.ts'
import { type FieldlineConfig, fieldlineSchema, loadFieldlineConfig } from '../config.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A secret as the file has it: in its own line, or in a file that is named there. */
export interface WrittenSecret {
  path: ConfigPath
  /** Of the file, where it says `@file:`; undefined for text and for variables. */
  file: string | undefined
  /** Its text stands in the configuration for all to read. */
  inline: boolean
}

/**
 * A configuration with the way back to its lines. One with mistakes is used without the sections that
 * have them, so that the rest can be looked at in the same go.
 */
export class CheckedConfig {
  readonly file: string
  readonly mistakes: readonly Mistake[]
  /** Undefined when nothing of it can be used. */
  readonly config: FieldlineConfig | undefined
  readonly #broken: ReadonlySet<string>
  readonly #document: ConfigDocument
  readonly #env: Environment

  /** @throws {OperationalError} CONFIG_UNREADABLE. */
  static async load(file: string, env: Environment = process.env): Promise<CheckedConfig> {
    try {
      const { config } = await loadFieldlineConfig({ file, env })
      return new CheckedConfig(file, env, config, [])
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return new CheckedConfig(file, env, undefined, error.findings)
    }
  }

  private constructor(
    file: string,
    env: Environment,
    config: FieldlineConfig | undefined,
    mistakes: readonly Mistake[]
  ) {
    this.file = file
    this.mistakes = mistakes
    this.#env = env
    this.#document = parseConfigDocument(readFileSync(file, 'utf8'), file)
    const broken = sectionsOf(mistakes)
    this.config = config ?? this.#withoutSections(broken)
    this.#broken = broken
  }

  /** Whether the section has no mistake: else its values are not those of the file. */
  isSound(section: keyof FieldlineConfig): boolean {
    return this.config !== undefined && !this.#broken.has(section)
  }

  /** `fieldline.yaml:12:5: kafka.tls.cert`; the nearest thing that is written down. */
  where(path: ConfigPath): string {
    const { line, column } = this.#document.locate(path)
    const rendered = renderPath(path)
    const written =
      rendered === '' ? [] : [this.isWritten(path) ? rendered : `${rendered} (default)`]
    return [`${this.file}:${line}:${column}`, ...written].join(': ')
  }

  isWritten(path: ConfigPath): boolean {
    return this.#valueAt(path) !== undefined
  }

  secrets(): WrittenSecret[] {
    const found: WrittenSecret[] = []
    const visit = (value: unknown, node: SchemaNode | undefined, path: ConfigPath): void => {
      const shape = node && alternativeFor(node, value)
      if (typeof value === 'string') {
        if (node?.writeOnly || shape?.writeOnly) found.push(this.#secretAt(value, path))
      } else if (Array.isArray(value)) {
        for (const [index, item] of value.entries()) visit(item, shape?.items, [...path, index])
      } else if (typeof value === 'object' && value !== null) {
        for (const [key, child] of Object.entries(value)) {
          visit(child, shape?.properties?.[key], [...path, key])
        }
      }
    }
    visit(this.#document.values, jsonSchemaOf(fieldlineSchema), [])
    return found
  }

  #secretAt(written: string, path: ConfigPath): WrittenSecret {
    if (!written.startsWith(FILE_PREFIX))
      return { path, file: undefined, inline: !/\$\{/.test(written) }
    let file: string | undefined
    try {
      file = expandVariables(written, this.#env).slice(FILE_PREFIX.length)
    } catch {
      // A variable that is not set is a mistake of the configuration, told there.
    }
    return { path, file, inline: false }
  }

  #valueAt(path: ConfigPath): unknown {
    return path.reduce<unknown>(
      (at, part) => (at as Record<PropertyKey, unknown> | null | undefined)?.[part],
      this.#document.values
    )
  }

  /** Rules across sections may break when one is missing: then that section goes too. */
  #withoutSections(broken: Set<string>): FieldlineConfig | undefined {
    const { values } = this.#document
    if (typeof values !== 'object' || values === null || broken.has('')) return undefined
    for (let attempt = 0; attempt < 8; attempt++) {
      const kept = Object.entries(values).filter(([section]) => !broken.has(section))
      const text = JSON.stringify(Object.fromEntries(kept))
      try {
        return readConfig({
          schema: fieldlineSchema,
          file: { name: this.file, text },
          env: this.#env,
          readFile: path => readFileSync(path, 'utf8')
        }).value
      } catch (error) {
        if (!(error instanceof OperationalError)) throw error
        const found = error instanceof ConfigError ? sectionsOf(error.findings) : new Set([''])
        const before = broken.size
        for (const section of found) broken.add(section)
        if (broken.has('') || broken.size === before) return undefined
      }
    }
    return undefined
  }
}

/** The file as a whole is the empty one. */
function sectionsOf(mistakes: readonly Mistake[]): Set<string> {
  return new Set(mistakes.map(({ path }) => /^[^.[]*/.exec(path)?.[0] ?? ''))
}
