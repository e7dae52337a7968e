import { renderFinding } from '../../core/runtime/config-findings.ts'
import { messageOf, OperationalError } from '../../core/runtime/errors.ts'
import { checkCertificates } from './check-certificates.ts'
import { checkData } from './check-data.ts'
import { checkListeners } from './check-listeners.ts'
import { checkLogs } from './check-logs.ts'
import { checkMachine } from './check-machine.ts'
import { checkModels } from './check-models.ts'
import { checkSecrets } from './check-secrets.ts'
import { checkUsers } from './check-users.ts'
import { CheckedConfig } from './checked-config.ts'
import { Findings } from './finding.ts'
import { type Machine, thisMachine } from './machine.ts'

export interface CheckOptions {
  file: string
  /** Logs are not read through. */
  quick?: boolean
  machine?: Machine
  /** Default: the process's own. */
  env?: Readonly<Record<string, string | undefined>>
}

/**
 * Everything that can be found out about a configuration and its machine without a connection, all at
 * once. Changes nothing, and holds no lock: an agent may run on the directory meanwhile.
 */
export async function check(options: CheckOptions): Promise<Findings> {
  const { file, quick = false, machine = thisMachine, env } = options
  const findings = new Findings()
  let checked: CheckedConfig
  try {
    checked = await CheckedConfig.load(file, env)
  } catch (error) {
    if (!(error instanceof OperationalError)) throw error
    findings.add('configuration', 'error', messageOf(error))
    return findings
  }
  tellMistakes(checked, findings)
  checkSecrets(checked, findings)
  if (!checked.config) return findings
  checkUsers(checked, findings)
  checkCertificates(checked, machine, findings)
  await checkModels(checked, findings)
  checkData(checked, machine, findings)
  await checkLogs(checked, quick, findings)
  await checkListeners(checked, findings)
  checkMachine(checked, machine, findings)
  return findings
}

function tellMistakes({ file, mistakes, config }: CheckedConfig, findings: Findings): void {
  if (mistakes.length === 0) {
    findings.add('configuration', 'ok', `${file} has no mistakes`)
    return
  }
  for (const mistake of mistakes) {
    const { source, line, column, path, message } = mistake
    const text = renderFinding({ ...mistake, source: '', line: undefined, path: '', message })
    const place = line === undefined ? source : `${source}:${line}:${column}`
    const where = [place, path].filter(part => part !== '').join(': ')
    findings.add('configuration', 'error', text, { where })
  }
  const what = config
    ? 'what depends on a section with mistakes was not looked at'
    : 'nothing else could be looked at'
  findings.add('configuration', 'note', what, {
    todo: 'correct the mistakes, then run this check again'
  })
}
