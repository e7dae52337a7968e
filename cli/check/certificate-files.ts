import type { ConfigPath } from '../../core/runtime/config-findings.ts'
import type { Secret } from '../../core/runtime/secrets.ts'

/** Files (or PEM texts) of one `tls` section. */
export interface CertificateFiles {
  /** Of the section. */
  path: ConfigPath
  ca?: string
  /** Name of the field that holds `ca`, where it is another. */
  caField?: string
  cert?: string
  /** Of revoked certificates. */
  crl?: string
  /** PEM text, or the path to it, as `kafka.tls.key` may be. */
  key?: Secret
}

/** The authorities of a token endpoint, as `kafka.sasl` has them: a section in code, none in the file. */
const TOKEN_CA = 'tokenCa'

/**
 * Every section of the configuration that names certificates, wherever it stands: it is known by its
 * fields `ca`, `cert` and `key`.
 */
export function certificateFilesIn(value: unknown, path: ConfigPath = []): CertificateFiles[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => certificateFilesIn(item, [...path, index]))
  }
  if (typeof value !== 'object' || value === null) return []
  const fields = value as Record<string, unknown>
  const inside = Object.entries(fields).flatMap(([key, child]) =>
    certificateFilesIn(child, [...path, key])
  )
  const tokenCa = textOf(fields[TOKEN_CA])
  if (tokenCa !== undefined) {
    return [{ path: path.slice(0, -1), ca: tokenCa, caField: 'token_ca' }, ...inside]
  }
  const ca = textOf(fields.ca)
  const cert = textOf(fields.cert)
  if (ca === undefined && cert === undefined) return inside
  const crl = textOf(fields.crl)
  const key = secretOf(fields.key)
  const own: CertificateFiles = {
    path,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(crl === undefined ? {} : { crl }),
    ...(key === undefined ? {} : { key })
  }
  return [own, ...inside]
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function secretOf(value: unknown): Secret | undefined {
  if (typeof value === 'string') return { text: value }
  if (typeof value !== 'object' || value === null) return undefined
  return 'text' in value || 'file' in value ? (value as Secret) : undefined
}
