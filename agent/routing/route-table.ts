import type { Fields } from '../../core/contract/reading.ts'
import type { RouteConfig } from '../../core/contract/route-config.ts'
import { compileFields } from '../../core/contract/route-fields.ts'
import { TopicTemplate } from '../../core/contract/topic-template.ts'

/** What routes can tell messages apart by. What is not known (`undefined`) meets every condition. */
export interface RoutedMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: number | undefined
  readonly retain: boolean | undefined
}

/** One route that wants a message, and what its template found in the topic. */
export interface RouteMatch {
  readonly config: RouteConfig
  readonly fields: Fields | undefined
  readonly site: string
  readonly device: string
  readonly metric: string | undefined
}

export interface Matches {
  /** In the order of the configuration: the message goes by each of them. */
  readonly wanted: RouteMatch[]
  /** The route that keeps the message from the routes below it. */
  readonly droppedBy: RouteConfig | undefined
}

interface CompiledRoute {
  readonly config: RouteConfig
  readonly templates: readonly TopicTemplate[]
  readonly fields: Fields | undefined
}

/**
 * The routes in their order. A message goes by every route that matches it, each a branch of its own,
 * up to the first one that drops it.
 */
export class RouteTable {
  readonly #routes: readonly CompiledRoute[]

  constructor(routes: readonly RouteConfig[]) {
    this.#routes = routes.map(config => ({
      config,
      templates: config.match.map(text => new TopicTemplate(text)),
      fields: compileFields(config.fields)
    }))
  }

  match(message: RoutedMessage): Matches {
    const wanted: RouteMatch[] = []
    const levels = message.topic.split('/')
    for (const { config, templates, fields } of this.#routes) {
      if (config.where && !meets(config.where, message)) continue
      for (const template of templates) {
        const names = template.matchLevels(levels)
        if (!names) continue
        if (config.drop) return { wanted, droppedBy: config }
        const site = names.site ?? config.site
        const { device, metric } = names
        if (site === undefined || device === undefined) continue
        wanted.push({ config, fields, site, device, metric })
        break
      }
    }
    return { wanted, droppedBy: undefined }
  }
}

/** Whether a message meets all of a route's conditions. */
export function meets(
  { qos, retained, bytesMin, bytesMax }: NonNullable<RouteConfig['where']>,
  message: RoutedMessage
): boolean {
  if (qos && message.qos !== undefined && !(qos as number[]).includes(message.qos)) return false
  if (retained !== undefined && (message.retain ?? retained) !== retained) return false
  const bytes = message.payload.length
  return bytes >= (bytesMin ?? 0) && bytes <= (bytesMax ?? Infinity)
}
