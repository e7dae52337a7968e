import { readFileSync } from 'node:fs'

/** Stands where a secret would, in everything that is printed. */
export const REDACTED = '[secret]'

/**
 * A secret as plain data, fit for a worker thread: the text, or where to read it whenever it is
 * needed. Who needs it asks `secretText`; nobody keeps what comes out of that.
 */
export type Secret = { readonly text: string } | { readonly file: string }

/** What stands for `@file:` between the reading of a file and the check against the schema. */
export class SecretFile {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }
}

function readUtf8(path: string): string {
  return readFileSync(path, 'utf8')
}

/** @throws {SyntaxError} naming the file and the reason, when it cannot be read or is empty. */
export function secretText(secret: Secret, readFile = readUtf8): string {
  if ('text' in secret) return secret.text
  return readSecretFile(`${FILE_PREFIX}${secret.file}`, readFile)
}

/**
 * Takes known secrets out of a text, should a library have put one into its message. Secrets of
 * fewer than four characters are left: they would tear holes into ordinary words.
 */
export function scrub(text: string, secrets: Iterable<string>): string {
  let clean = text
  for (const value of secrets) if (value.length >= 4) clean = clean.replaceAll(value, REDACTED)
  return clean
}

export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** @throws when the file cannot be read. */
  readonly readFile: (path: string) => string
}

const REFERENCE = /\$\$\{|\$\{([^}]*)\}?/g
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/

/**
 * Puts environment variables in: `${NAME}`, `${NAME:-default}`; `$${` is a literal `${`.
 *
 * @throws {SyntaxError} naming every variable that is not set, and never a value.
 */
export function expandVariables(text: string, env: SecretSources['env']): string {
  const problems: string[] = []
  const expanded = text.replace(REFERENCE, (whole, inside: string | undefined) => {
    if (whole === '$${') return '${'
    const [, name, fallback] = VARIABLE.exec(inside ?? '') ?? []
    if (!name || !whole.endsWith('}')) {
      problems.push(
        `'\${' begins no variable: write \${NAME}, \${NAME:-default} or $\${ for itself`
      )
      return whole
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    const value = env[name] === '' ? (fallback ?? '') : (env[name] ?? fallback)
    if (value === undefined) problems.push(`environment variable ${name} is not set`)
    return value ?? ''
  })
  if (problems.length > 0) throw new SyntaxError(problems.join('; '))
  return expanded
}

/** `@file:/run/secrets/token`: the file's text is the value, less one newline at its end. */
export const FILE_PREFIX = '@file:'

/** @throws {SyntaxError} naming the file and the system's reason, or that it is empty. */
export function readSecretFile(reference: string, readFile: SecretSources['readFile']): string {
  const path = reference.slice(FILE_PREFIX.length)
  let text: string
  try {
    text = readFile(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unreadable'
    throw new SyntaxError(`secret file ${path} cannot be read (${code})`)
  }
  text = text.replace(/\r?\n$/, '')
  if (text === '') throw new SyntaxError(`secret file ${path} is empty`)
  return text
}
