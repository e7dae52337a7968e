/** What is looked at, in the order in which it is told. */
export const GROUPS = [
  'configuration',
  'secrets',
  'certificates',
  'models',
  'data directory',
  'logs',
  'listeners',
  'machine'
] as const
export type Group = (typeof GROUPS)[number]

/** `error`: it would not work. `warning`: one day it will not. `note`: to be known. */
export type Severity = 'error' | 'warning' | 'note' | 'ok'

export interface Finding {
  group: Group
  severity: Severity
  /** One sentence, without the place. */
  what: string
  /** `fieldline.yaml:12:5: kafka.tls.cert`, or a path. */
  where?: string
  why?: string
  /** What to do about it. */
  todo?: string
}

export type Details = Pick<Finding, 'where' | 'why' | 'todo'>

/** A program knows them by these numbers: EX_CONFIG of sysexits(3), as the agent's own. */
const EXIT_CONFIG = 78

/** Collects; nothing that is found ends the looking. */
export class Findings {
  readonly list: Finding[] = []

  add(group: Group, severity: Severity, what: string, details: Details = {}): void {
    this.list.push({ group, severity, what, ...details })
  }

  count(severity: Severity): number {
    return this.list.filter(finding => finding.severity === severity).length
  }

  /** @param strict Warnings count too. */
  exitCode(strict: boolean): number {
    const errors = this.list.filter(({ severity }) => severity === 'error')
    if (errors.some(({ group }) => group === 'configuration')) return EXIT_CONFIG
    return errors.length > 0 || (strict && this.count('warning') > 0) ? 1 : 0
  }
}
