/** Whether a valid filter matches a topic. Source: MQTT 3.1.1 §4.7. */
export function filterMatches(filter: string, topic: string): boolean {
  const [wanted, levels] = [filter.split('/'), topic.split('/')]
  if (levels[0].startsWith('$') && /^[+#]/.test(filter)) return false
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true
    if (index >= levels.length || (level !== '+' && level !== levels[index])) return false
  }
  return wanted.length === levels.length
}
