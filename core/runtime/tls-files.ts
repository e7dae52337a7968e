import { readFileSync } from 'node:fs'
import tls from 'node:tls'
import { messageOf, systemCode } from './errors.ts'
import { type Secret, secretText } from './secrets.ts'

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

/**
 * Reads the files as they are now, so that those exchanged on disk are used from the next connection on.
 *
 * @param field Where they are configured, like `upstreams.plant.tls`.
 * @throws {TlsFilesError} naming the field and the system's reason, never what a file holds.
 */
export function readTlsFiles(
  files: TlsFiles,
  field: string,
  readFile: (path: string) => string = readUtf8
): { ca?: string; cert?: string; key?: string } {
  const read = (name: 'ca' | 'cert' | 'key'): { [name in 'ca' | 'cert' | 'key']?: string } => {
    const value = files[name]
    if (value === undefined) return {}
    try {
      const text = typeof value === 'string' ? value : secretText(value, readFile)
      return { [name]: text.includes('-----BEGIN ') ? text : readFile(text) }
    } catch (error) {
      const reason = error instanceof SyntaxError ? messageOf(error) : unreadable(error)
      throw new TlsFilesError(`${field}.${name}: ${reason}`)
    }
  }
  const pem = { ...read('ca'), ...read('cert'), ...read('key') }
  try {
    tls.createSecureContext(pem)
  } catch (error) {
    // OpenSSL's words hold nothing of the files.
    throw new TlsFilesError(
      `${field}: the files cannot be used (${messageOf(error)}): each must be PEM, and key must belong to cert`
    )
  }
  return pem
}

function unreadable(error: unknown): string {
  return `the file cannot be read (${systemCode(error) ?? messageOf(error)})`
}

function readUtf8(path: string): string {
  return readFileSync(path, 'utf8')
}
