import type { RouteConfig } from './route-config.ts'

/** What two routes have to do with each other, told from their configuration alone. */

type Conditions = NonNullable<RouteConfig['where']>

/** Whether both lead some message to one topic: it would be stored there twice under one id. */
export function leadToOneTopic(a: RouteConfig, b: RouteConfig): boolean {
  if (a.drop || b.drop) return false
  const topic = ({ topic, site }: RouteConfig): string => topic.replace('{site}', site ?? '{site}')
  if (topic(a) !== topic(b) || excludeEachOther(a.where ?? {}, b.where ?? {})) return false
  return a.match.some(one => b.match.some(other => overlap(one.split('/'), other.split('/'))))
}

/** Whether `above` throws away everything that `below` could have matched. */
export function leavesNothing(above: RouteConfig, below: RouteConfig): boolean {
  if (!above.drop || above.where !== undefined) return false
  return below.match.every(one =>
    above.match.some(other => covers(other.split('/'), one.split('/')))
  )
}

/** Whether some MQTT topic matches both templates. */
function overlap([a, ...restOfA]: readonly string[], [b, ...restOfB]: readonly string[]): boolean {
  // A last '#' takes whatever the other still has, nothing included.
  if (a === '#' || b === '#') return true
  if (a === undefined || b === undefined) return a === b
  return (isOpen(a) || isOpen(b) || a === b) && overlap(restOfA, restOfB)
}

/** Whether every MQTT topic of the second template matches the first. */
function covers([a, ...restOfA]: readonly string[], [b, ...restOfB]: readonly string[]): boolean {
  if (a === '#') return true
  if (a === undefined || b === undefined || b === '#') return a === b
  // A named level is never empty, '+' may be.
  const wider = a === '+' || a === b || (a.startsWith('{') && b.startsWith('{'))
  return (wider || (a.startsWith('{') && !isOpen(b) && b !== '')) && covers(restOfA, restOfB)
}

function isOpen(level: string): boolean {
  return level === '+' || level.startsWith('{')
}

function excludeEachOther(a: Conditions, b: Conditions): boolean {
  if (a.qos && b.qos && !a.qos.some(qos => b.qos?.includes(qos))) return true
  if (a.retained !== undefined && b.retained !== undefined && a.retained !== b.retained) return true
  const apart = (x: Conditions, y: Conditions): boolean =>
    x.bytesMax !== undefined && y.bytesMin !== undefined && x.bytesMax < y.bytesMin
  return apart(a, b) || apart(b, a)
}
