import { HEADERS } from '../../core/contract/headers.ts'
import { topicMatches } from '../log/records.ts'
import { agentOf, type DeadLetter, reasonOf, receivedAtOf } from './letter.ts'

/** Which dead letters are meant; what is absent does not matter. Times are half-open. */
export interface Selection {
  reason?: readonly string[]
  /** MQTT topic filter. */
  topic?: string
  /** Name of the route that failed. */
  route?: string
  agent?: string
  /** When the agent received it, epoch ms. */
  since?: number
  until?: number
}

export function isSelected(selection: Selection, letter: DeadLetter): boolean {
  const { reason, topic, route, agent, since, until } = selection
  const { headers } = letter
  const mqttTopic = headers[HEADERS.topic]
  const at = receivedAtOf(letter)
  return (
    (reason === undefined || reason.includes(reasonOf(letter))) &&
    (topic === undefined || (mqttTopic !== undefined && topicMatches(topic, mqttTopic))) &&
    (route === undefined || headers[HEADERS.route] === route) &&
    (agent === undefined || agentOf(letter) === agent) &&
    at >= (since ?? -Infinity) &&
    at < (until ?? Infinity)
  )
}
