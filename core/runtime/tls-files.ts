import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import { messageOf, systemCode } from './errors.ts'
import { type Secret, secretText } from './secrets.ts'

/**
 * So long before its end a certificate is told of, by `check`, `dry-run`, the dashboard and the alert
 * rule alike. Who has it renewed by a program does so 30 days before: it has failed then, and three
 * weeks are left to ask somebody.
 */
export const CERTIFICATE_WARNING_MS = 21 * 86_400_000

/** PEM files (or texts) of one side of a TLS connection. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: Secret
}

/** Heals by itself once the files are corrected: they are read again for the next connection. */
export class TlsFilesError extends Error {
  readonly code = 'TLS_FILES_UNUSABLE'
}

/** The PEM text itself, where a field holds a path or the text. */
export function pemOf(value: string, readFile: (path: string) => string): string {
  return value.includes('-----BEGIN ') ? value : readFile(value)
}

/**
 * Reads the files as they are now, so that those exchanged on disk are used from the next connection on.
 *
 * @param field Where they are configured, like `upstreams.plant.tls`.
 * @throws {TlsFilesError} naming the field and the system's reason, never what a file holds.
 */
export function readTlsFiles(files: TlsFiles, field: string, readFile = readUtf8): Pems {
  const pems = readPems(files, field, readFile)
  contextOf(pems, field)
  return pems
}

/** As `readTlsFiles`: what one connection is made with. */
export function secureContextOf(
  files: TlsFiles,
  field: string,
  readFile = readUtf8
): tls.SecureContext {
  return contextOf(readPems(files, field, readFile), field)
}

interface Pems {
  ca?: string
  cert?: string
  key?: string
}

function readPems(files: TlsFiles, field: string, readFile: (path: string) => string): Pems {
  const read = (name: keyof Pems): Pems => {
    const value = files[name]
    if (value === undefined) return {}
    try {
      const text = typeof value === 'string' ? value : secretText(value, readFile)
      return { [name]: pemOf(text, readFile) }
    } catch (error) {
      const reason = error instanceof SyntaxError ? messageOf(error) : unreadableFile(error)
      throw new TlsFilesError(`${field}.${name}: ${reason}`)
    }
  }
  return { ...read('ca'), ...read('cert'), ...read('key') }
}

function contextOf(pems: Pems, field: string): tls.SecureContext {
  try {
    return tls.createSecureContext(pems)
  } catch (error) {
    // OpenSSL's words hold nothing of the files.
    throw new TlsFilesError(
      `${field}: the files cannot be used (${messageOf(error)}): each must be PEM, and key must belong to cert`
    )
  }
}

export function unreadableFile(error: unknown): string {
  return `the file cannot be read (${systemCode(error) ?? messageOf(error)})`
}

function readUtf8(path: string): string {
  return readFileSync(path, 'utf8')
}
