import { z } from 'zod'
import type { ConfigPath } from './config-findings.ts'
import { REDACTED } from './secrets.ts'

/** As much of JSON Schema (2020-12) as our own configuration uses. */
export interface SchemaNode {
  readonly $schema?: string
  readonly title?: string
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  /** Marks a secret. */
  readonly writeOnly?: boolean
  /** A secret whose `@file:` stays a reference: see `rotatingSecret`. */
  readonly rotates?: boolean
}

/** The schema of what is written in the file, not of what code receives. */
export function jsonSchemaOf(schema: z.ZodType): SchemaNode {
  return z.toJSONSchema(schema, { io: 'input' }) as SchemaNode
}

/** The alternative that fits the value's outer shape; the node itself when it has only one. */
export function alternativeFor(node: SchemaNode, value: unknown): SchemaNode {
  if (!node.anyOf) return node
  const wanted = Array.isArray(value) ? 'array' : typeof value
  return node.anyOf.map(one => alternativeFor(one, value)).find(one => one.type === wanted) ?? node
}

/** Valid keys of the mapping at a path; none when there is no mapping. */
export function keysAt(root: SchemaNode, path: ConfigPath): string[] {
  let node: SchemaNode | undefined = root
  for (const part of path) {
    const parent: SchemaNode = alternativeFor(node, typeof part === 'number' ? [] : {})
    node = typeof part === 'number' ? parent.items : parent.properties?.[String(part)]
    if (!node) return []
  }
  return Object.keys(alternativeFor(node, {}).properties ?? {})
}

/** JSON types a value may have here. */
export function typesOf(node: SchemaNode): string[] {
  const own = typeof node.type === 'string' ? [node.type] : [...(node.type ?? [])]
  return [...own, ...(node.anyOf ?? []).flatMap(typesOf)]
}

/**
 * The whole configuration in effect, as it would be written: defaults put in, secrets taken out.
 *
 * @param secretAs What stands where a secret would.
 */
export function effectiveValues(
  node: SchemaNode,
  given: unknown,
  secretAs: (secret: unknown) => string = () => REDACTED
): unknown {
  const value = given === undefined ? node.default : given
  if (value === undefined) return undefined
  const shape = alternativeFor(node, value)
  if (node.writeOnly || shape.writeOnly) return secretAs(value)
  if (Array.isArray(value)) {
    return value.map(item => (shape.items ? effectiveValues(shape.items, item, secretAs) : item))
  }
  if (typeof value === 'object' && value !== null && shape.properties) {
    const entries = Object.entries(shape.properties).map(
      ([key, child]) => [key, effectiveValues(child, (value as never)[key], secretAs)] as const
    )
    return Object.fromEntries(entries.filter(([, child]) => child !== undefined))
  }
  return value
}
