import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import fs from 'node:fs'
import type { ConfigPath } from '../../core/runtime/config-findings.ts'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { type Secret, secretText } from '../../core/runtime/secrets.ts'
import { CERTIFICATE_WARNING_MS, pemOf } from '../../core/runtime/tls-files.ts'
import { type CertificateFiles, certificateFilesIn } from './certificate-files.ts'
import { readableByOthers } from './check-secrets.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Details, Findings, Severity } from './finding.ts'
import type { Machine } from './machine.ts'
import { whyUnreadable } from './unreadable.ts'

const DAY_MS = 86_400_000

/** Every certificate and key that the configuration names: read, in time, belonging together. */
export function checkCertificates(
  checked: CheckedConfig,
  machine: Machine,
  findings: Findings
): void {
  for (const files of certificateFilesIn(checked.config)) {
    new CertificateCheck(files, checked, machine, findings).run()
  }
}

class CertificateCheck {
  readonly #files: CertificateFiles
  readonly #checked: CheckedConfig
  readonly #now: number
  readonly #findings: Findings

  constructor(
    files: CertificateFiles,
    checked: CheckedConfig,
    machine: Machine,
    findings: Findings
  ) {
    this.#files = files
    this.#checked = checked
    this.#now = machine.now()
    this.#findings = findings
  }

  run(): void {
    const { ca, cert, crl, key } = this.#files
    if (ca !== undefined) this.#checkAuthorities(this.#read('ca', ca))
    if (crl !== undefined) this.#checkRevocations(crl)
    const chain = cert === undefined ? undefined : this.#read('cert', cert)
    if (chain) this.#checkChain(chain)
    const privateKey = key && this.#readKey(key)
    if (!chain || !privateKey) return
    if (chain[0].checkPrivateKey(privateKey)) {
      this.#add('ok', `the key belongs to ${nameOf(chain[0])}`)
      return
    }
    this.#add('error', `the key does not belong to the certificate of ${nameOf(chain[0])}`, {
      where: this.#where('key'),
      todo: 'give the key that the certificate was asked for with'
    })
  }

  /** Node has no reader of its own for them: that it is one must do. */
  #checkRevocations(file: string): void {
    const where = this.#where('crl')
    try {
      const pem = pemOf(file, path => fs.readFileSync(path, 'utf8'))
      if (pem.includes('-----BEGIN X509 CRL-----')) return
      const todo = 'give a list of revoked certificates in PEM format'
      this.#add('error', `${file} holds no block BEGIN X509 CRL`, { where, todo })
    } catch (error) {
      const what = `${file} cannot be read (${systemCode(error) ?? messageOf(error)})`
      this.#add('error', what, { where, ...whyUnreadable({ file, error }) })
    }
  }

  #checkAuthorities(authorities: readonly X509Certificate[] | undefined): void {
    for (const authority of authorities ?? []) {
      this.#checkTimes(authority, 'ca', authorities!.length > 1 ? 'warning' : 'error')
      if (authority.ca) continue
      this.#add('warning', `${nameOf(authority)} is not the certificate of an authority`, {
        where: this.#where('ca'),
        why: 'what it did not sign is not trusted, and it may sign nothing',
        todo: 'give the certificate of the authority that signed the other side’s'
      })
    }
  }

  #checkChain(chain: readonly X509Certificate[]): void {
    for (const certificate of chain) this.#checkTimes(certificate, 'cert', 'error')
    const [own] = chain
    if (own.ca) {
      this.#add('warning', `${nameOf(own)} is the certificate of an authority`, {
        where: this.#where('cert'),
        why: 'the first certificate of the file must be the one to be identified with',
        todo: 'put it first, the authorities behind it'
      })
    }
    for (const [index, certificate] of chain.slice(0, -1).entries()) {
      const issuer = chain[index + 1]
      if (certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)) continue
      const what = `${nameOf(certificate)} was not signed by ${nameOf(issuer)}, which follows it`
      this.#add('warning', what, {
        where: this.#where('cert'),
        todo: 'order the file: each certificate before the one that signed it'
      })
    }
  }

  #checkTimes(certificate: X509Certificate, field: string, whenExpired: Severity): void {
    const [from, until] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
    const name = nameOf(certificate)
    const where = this.#where(field)
    if (until <= this.#now) {
      const todo = 'renew it; files are read again without a restart'
      this.#add(whenExpired, `${name} has expired on ${dayOf(until)}`, { where, todo })
    } else if (from > this.#now) {
      const why = `this machine's clock says ${new Date(this.#now).toISOString()}`
      const todo = 'set the clock, or wait'
      this.#add('error', `${name} is not valid before ${dayOf(from)}`, { where, why, todo })
    } else if (until - this.#now < CERTIFICATE_WARNING_MS) {
      const days = Math.floor((until - this.#now) / DAY_MS)
      const what = `${name} expires in ${days} days, on ${dayOf(until)}`
      this.#add('warning', what, { where, todo: 'renew it before then' })
    } else this.#add('ok', `${name} is valid until ${dayOf(until)}`)
  }

  #read(field: string, value: string): X509Certificate[] | undefined {
    const where = this.#where(field)
    let pem: string
    try {
      pem = pemOf(value, path => fs.readFileSync(path, 'utf8'))
    } catch (error) {
      const what = `${value} cannot be read (${systemCode(error) ?? messageOf(error)})`
      this.#add('error', what, { where, ...whyUnreadable({ file: value, error }) })
      return undefined
    }
    const source = value === pem ? 'the text' : value
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
    try {
      if (!blocks) throw new Error('no block BEGIN CERTIFICATE')
      return blocks.map(block => new X509Certificate(block))
    } catch (error) {
      const what = `${source} holds no certificate that can be read (${messageOf(error)})`
      this.#add('error', what, { where, todo: 'give a file in PEM format' })
      return undefined
    }
  }

  #readKey(secret: Secret): KeyObject | undefined {
    const where = this.#where('key')
    let file = 'file' in secret ? secret.file : undefined
    let pem: string
    try {
      const text = secretText(secret)
      if (!text.includes('-----BEGIN ')) file = text
      pem = pemOf(text, path => fs.readFileSync(path, 'utf8'))
    } catch (error) {
      const place = file ?? 'the key'
      const what = `${place} cannot be read (${systemCode(error) ?? messageOf(error)})`
      this.#add('error', what, { where, ...whyUnreadable({ file: place, error }) })
      return undefined
    }
    if (file !== undefined && readableByOthers(file)) {
      const todo = `chmod o-r ${file}`
      this.#add('warning', `everybody on this machine may read the key ${file}`, { where, todo })
    }
    try {
      return createPrivateKey(pem)
    } catch {
      const encrypted = /ENCRYPTED/.test(pem)
      this.#add('error', encrypted ? 'the key has a passphrase' : 'the key cannot be read', {
        where,
        // OpenSSL's own words could hold parts of the file.
        todo: encrypted
          ? 'take the passphrase away (openssl pkey), and let only the agent read the file'
          : 'give a private key in PEM format'
      })
      return undefined
    }
  }

  #where(field: string): string {
    const { path: section, caField = 'ca' } = this.#files
    const path: ConfigPath = [...section, field === 'ca' ? caField : field]
    return this.#checked.where(path)
  }

  #add(severity: Severity, what: string, details: Details = {}): void {
    this.#findings.add('certificates', severity, what, details)
  }
}

/** Its common name, or whatever there is of its subject. */
export function nameOf({ subject }: X509Certificate): string {
  const name = /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? subject?.split('\n')[0]
  return `'${name ?? 'a certificate without a name'}'`
}

export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}
