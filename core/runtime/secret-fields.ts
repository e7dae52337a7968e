import { z } from 'zod'
import { type Secret, SecretFile } from './secrets.ts'

/* Apart from `secrets.ts`, which threads load that have no use for schemas. */

/**
 * A field whose value is never printed. It is marked `writeOnly` in the JSON Schema; redaction goes
 * by that mark, so a secret declared here cannot be forgotten elsewhere.
 */
export function secret() {
  return z.string().min(1).meta({ writeOnly: true, title: 'secret' })
}

/**
 * A secret that may be exchanged while the process runs: written `@file:PATH` it stays a reference,
 * and the file is read anew each time. Code receives a `Secret`.
 */
export function rotatingSecret() {
  return z
    .unknown()
    .meta({ ...{ writeOnly: true, title: 'secret', type: 'string' as never }, rotates: true })
    .transform((value, context): Secret => {
      if (value instanceof SecretFile) return { file: value.path }
      if (typeof value === 'string' && value !== '') return { text: value }
      const message = value === '' ? 'must not be empty' : 'expected text'
      context.addIssue({ code: 'custom', message, continue: false })
      return z.NEVER
    })
}
