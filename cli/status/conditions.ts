import { OperationalError } from '../../core/runtime/errors.ts'
import { nearestName } from '../../core/runtime/nearest.ts'
import type { Sight } from './sight.ts'

/** What a script can ask about, by name. */
const CONDITIONS = {
  buffering: hasMode('buffering'),
  draining: hasMode('draining'),
  full: hasMode('full'),
  parked: hasMode('parked'),
  'not-ready': sight =>
    sight.kind === 'agent' ? !sight.status.ready : sight.status.state !== 'reading',
  losses: sight =>
    sight.kind === 'agent'
      ? sight.view.losses.length > 0
      : Object.values(sight.status.counters.poison).some(n => n > 0),
  alerts: sight => sight.alerts.length > 0,
  critical: sight => sight.alerts.some(({ severity }) => severity === 'critical')
} satisfies Record<string, (sight: Sight) => boolean>

export type Condition = keyof typeof CONDITIONS

export const CONDITION_NAMES = Object.keys(CONDITIONS) as Condition[]

function hasMode(mode: string): (sight: Sight) => boolean {
  return sight => sight.kind === 'agent' && sight.status.mode === mode
}

/** @throws {OperationalError} USAGE */
export function parseConditions(text: string): Condition[] {
  return text.split(',').map(part => {
    const name = part.trim()
    const condition = CONDITION_NAMES.find(each => each === name)
    if (condition) return condition
    const near = nearestName(name, CONDITION_NAMES)
    const hint = near ? `did you mean '${near}'?` : `there are: ${CONDITION_NAMES.join(', ')}`
    throw new OperationalError(
      'USAGE',
      `--fail-on is "${text}": '${name}' is no condition; ${hint}`
    )
  })
}

/** Those that hold. */
export function holding(conditions: readonly Condition[], sight: Sight): Condition[] {
  return conditions.filter(name => CONDITIONS[name](sight))
}
