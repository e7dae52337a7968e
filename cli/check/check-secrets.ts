import fs from 'node:fs'
import { systemCode } from '../../core/runtime/errors.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'
import { whyUnreadable } from './unreadable.ts'

const OTHERS_READ = 0o004

/** Secret files, and secrets in a configuration that everybody may read. */
export function checkSecrets(checked: CheckedConfig, findings: Findings): void {
  const secrets = checked.secrets()
  const inline = secrets.filter(secret => secret.inline)
  if (inline.length > 0 && readableByOthers(checked.file)) {
    findings.add('secrets', 'warning', 'a secret stands in a file that everybody here may read', {
      where: inline.map(({ path }) => checked.where(path)).join(', '),
      todo: `chmod o-r ${checked.file}, or write '@file:/path' or \${VARIABLE} in its place`
    })
  }
  for (const { path, file } of secrets) {
    if (file === undefined) continue
    const where = checked.where(path)
    try {
      fs.accessSync(file, fs.constants.R_OK)
    } catch (error) {
      const what = `secret file ${file} cannot be read (${systemCode(error)})`
      findings.add('secrets', 'error', what, { where, ...whyUnreadable({ file, error }) })
      continue
    }
    if (readableByOthers(file)) {
      findings.add('secrets', 'warning', `everybody on this machine may read ${file}`, {
        where,
        todo: `chmod o-r ${file}`
      })
    } else findings.add('secrets', 'ok', `${file} is readable, and not by everybody`)
  }
}

/** Not for a file that cannot be looked at: that is told elsewhere. */
export function readableByOthers(file: string): boolean {
  try {
    return (fs.statSync(file).mode & OTHERS_READ) !== 0
  } catch {
    return false
  }
}
