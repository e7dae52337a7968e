import { createHmac, randomBytes } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { lookUp, withoutPath, withPath } from '../../core/runtime/config.ts'
import { renderPath } from '../../core/runtime/config-findings.ts'
import { effectiveValues, jsonSchemaOf } from '../../core/runtime/config-schema.ts'
import { SecretFile } from '../../core/runtime/secrets.ts'
import { fieldlineSchema, givenOf, type LoadedFieldlineConfig, loadedOf } from '../config.ts'

/** Keys from the root, as they are written in the file; a list is one value. */
type Path = readonly string[]

/** What a process can exchange while it runs, in the order in which it is tried. */
export interface ReloadableParts {
  /** Each by itself: what one needs of the others decides whether it can be exchanged alone. */
  readonly sections: readonly Path[]
  /** Within them, and yet for a restart. */
  readonly except: readonly Path[]
}

export interface ConfigChange {
  /** In effect from now on: what is new and can be exchanged, beside what must stay as it was. */
  readonly next: LoadedFieldlineConfig
  /** What of it is new, as configuration paths; empty: nothing is to be done. */
  readonly changed: string[]
  /** The first keys of those paths. */
  readonly sections: ReadonlySet<string>
  /** What of the file is not in effect before a restart. */
  readonly needsRestart: string[]
}

/** A digest tells whether a secret was exchanged, and nothing else; of this process alone. */
const DIGEST_KEY = randomBytes(32)

/**
 * Takes apart what of a new configuration can be had at once. What is in effect then is a valid
 * configuration again: a section that fits only together with one that must wait, waits too.
 */
export function changeOf(
  current: LoadedFieldlineConfig,
  loaded: LoadedFieldlineConfig,
  parts: ReloadableParts
): ConfigChange {
  const wantedValues = givenOf(loaded)
  const all = changedPaths(comparable(givenOf(current)), comparable(wantedValues))
  const changed: Path[] = []
  let next = current
  for (const section of parts.sections) {
    const wanted = all.filter(
      path => within(path, section) && !parts.except.some(kept => within(path, kept))
    )
    if (wanted.length === 0) continue
    const merged = validated(taking(givenOf(next), wantedValues, wanted))
    if (!merged) continue
    next = merged
    changed.push(...wanted)
  }
  const waiting = all.filter(path => !changed.includes(path))
  return {
    next,
    changed: changed.map(renderPath),
    sections: new Set(changed.map(([section]) => section)),
    needsRestart: waiting.map(renderPath)
  }
}

/** Paths whose values differ, in the order of the file's schema; a list is one value. */
export function changedPaths(before: unknown, after: unknown, path: Path = []): Path[] {
  if (isDeepStrictEqual(before, after)) return []
  if (!isMapping(before) || !isMapping(after)) return [path]
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...keys].flatMap(key => changedPaths(before[key], after[key], [...path, key]))
}

/** With defaults, so that writing one down changes nothing; a secret as its digest, or its file's name. */
function comparable(given: unknown): unknown {
  return effectiveValues(jsonSchemaOf(fieldlineSchema), given, secret =>
    secret instanceof SecretFile
      ? `@file:${secret.path}`
      : createHmac('sha256', DIGEST_KEY).update(JSON.stringify(secret)).digest('hex')
  )
}

function taking(values: unknown, from: unknown, paths: readonly Path[]): unknown {
  return paths.reduce((sum, path) => {
    const value = lookUp(from, path)
    return value === undefined ? withoutPath(sum, path) : withPath(sum, path, value)
  }, values)
}

function validated(given: unknown): LoadedFieldlineConfig | undefined {
  const parsed = fieldlineSchema.safeParse(given)
  if (!parsed.success) return undefined
  const effective = effectiveValues(jsonSchemaOf(fieldlineSchema), given)
  return loadedOf(parsed.data, effective, given)
}

function within(path: Path, outer: Path): boolean {
  return outer.every((key, index) => path[index] === key)
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
