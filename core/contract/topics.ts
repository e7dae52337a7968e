/** Fieldline's own Kafka topics. */
export const TOPICS = {
  telemetry: 'telemetry',
  deadLetters: 'fieldline.dead-letters',
  alerts: 'fieldline.alerts',
  status: 'fieldline.status',
  cursors: 'fieldline.cursors',
  detectorState: 'fieldline.detector-state'
} as const

/** Where Fieldline publishes its alerts: never taken for telemetry. */
export function isAlertTopic(topic: string): boolean {
  return topic.startsWith('alerts/')
}

/** First levels that devices may not publish under: `alerts/`, `fieldline/`, `$SYS/`, any `$…`. */
export function isReservedMqttTopic(topic: string): boolean {
  const first = topic.slice(0, topic.includes('/') ? topic.indexOf('/') : undefined)
  return first === 'alerts' || first === 'fieldline' || first.startsWith('$')
}

/** Key of every record about a device, in every topic: all its records share a partition. */
export function deviceKey(site: string, device: string): string {
  return `${site}/${device}`
}
