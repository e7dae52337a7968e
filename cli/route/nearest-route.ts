import { meets, type RoutedMessage } from '../../agent/routing/route-table.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'
import { editDistance } from '../../core/runtime/nearest.ts'

interface Miss {
  /** 0 when all but the conditions match. */
  distance: number
  text: string
}

/** @returns Which route comes nearest to a message that none matches, and what keeps it away. */
export function nearestRoute(
  routes: readonly RouteConfig[],
  message: RoutedMessage
): string | undefined {
  const misses = routes
    .filter(route => !route.drop)
    .flatMap(route => route.match.map(template => missOf(route, template, message)))
  return misses.reduce<Miss | undefined>(
    (best, miss) => (best && best.distance <= miss.distance ? best : miss),
    undefined
  )?.text
}

function missOf(route: RouteConfig, template: string, message: RoutedMessage): Miss {
  const named = `route '${route.name}' takes ${template}`
  if (new TopicTemplate(template).match(message.topic)) {
    const why = route.where && !meets(route.where, message) ? conditions(route.where) : ''
    return { distance: 0, text: `${named}, but only ${why}` }
  }
  const wanted = template.split('/')
  const levels = message.topic.split('/')
  const rest = wanted.at(-1) === '#'
  if (rest) wanted.pop()
  const faults = wanted.flatMap((level, index) => levelFault(level, levels[index], index + 1))
  if (levels.length < wanted.length || (levels.length > wanted.length && !rest)) {
    const least = rest ? 'at least ' : ''
    const text = `the topic has ${count(levels.length)}, not ${least}${wanted.length}`
    faults.push({ distance: 2 * Math.abs(levels.length - wanted.length), text })
  }
  const distance = faults.reduce((sum, fault) => sum + fault.distance, 0)
  return { distance, text: `${named}, but ${faults.map(({ text }) => text).join(' and ')}` }
}

function levelFault(wanted: string, level: string | undefined, place: number): Miss[] {
  if (level === undefined || wanted === '+' || wanted === level) return []
  if (wanted.startsWith('{')) {
    return level === '' ? [{ distance: 1, text: `level ${place}, ${wanted}, is empty` }] : []
  }
  // A slip of the finger is nearer than another word.
  const slip = editDistance(wanted.toLowerCase(), level.slice(0, 64).toLowerCase()) <= 2
  return [{ distance: slip ? 1 : 3, text: `level ${place} is '${level}', not '${wanted}'` }]
}

function conditions({ qos, retained, bytesMin, bytesMax }: NonNullable<RouteConfig['where']>) {
  return [
    ...(qos ? [`with QoS ${qos.join(' or ')}`] : []),
    ...(retained === undefined ? [] : [retained ? 'with RETAIN' : 'without RETAIN']),
    ...(bytesMin === undefined ? [] : [`from ${bytesMin} bytes`]),
    ...(bytesMax === undefined ? [] : [`up to ${bytesMax} bytes`])
  ].join(', ')
}

function count(levels: number): string {
  return `${levels} level${levels === 1 ? '' : 's'}`
}
