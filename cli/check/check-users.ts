import fs from 'node:fs'
import { mqttWarnings } from '../../agent/ingest/broker/config.ts'
import { parseUsers, USERS_FILE_BYTES_MAX } from '../../agent/ingest/broker/users-file.ts'
import { messageOf, systemCode } from '../../core/runtime/errors.ts'
import { count } from '../log/text.ts'
import { readableByOthers } from './check-secrets.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'
import { whyUnreadable } from './unreadable.ts'

/** Who may come in: the file of users, and what is allowed and unwise. */
export function checkUsers(checked: CheckedConfig, findings: Findings): void {
  const mqtt = checked.config?.mqtt
  if (!mqtt || !checked.isSound('mqtt')) return
  for (const warning of mqttWarnings(mqtt)) {
    const where = checked.where(['mqtt'])
    findings.add('configuration', 'warning', warning, { where })
  }
  const { usersFile } = mqtt
  if (usersFile === undefined) return
  const where = checked.where(['mqtt', 'users_file'])
  const todo = 'write it with: fieldline passwd'
  try {
    if (fs.statSync(usersFile).size > USERS_FILE_BYTES_MAX) throw new SyntaxError('is too large')
    const users = parseUsers(fs.readFileSync(usersFile, 'utf8'))
    findings.add('secrets', 'ok', `${usersFile} names ${count(users.size, 'user')}`)
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : systemCode(error)
    const what = `the file of users ${usersFile} cannot be used: ${reason ?? messageOf(error)}`
    const advice = whyUnreadable({ file: usersFile, error, otherwise: todo, give: 'owner' })
    findings.add('secrets', 'error', what, { where, ...advice })
    return
  }
  if (!readableByOthers(usersFile)) return
  findings.add('secrets', 'warning', `everybody on this machine may read ${usersFile}`, {
    where,
    why: 'weak passwords can be guessed from their digests',
    todo: `chmod o-r ${usersFile}`
  })
}
