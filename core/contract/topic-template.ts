/**
 * A route's MQTT topic pattern: literal levels, `{name}` for one level, `+` for one level without a
 * name, and a last `#` that keeps the rest (zero or more levels) as `{rest}`.
 *
 * Source: MQTT 3.1.1 §4.7 for levels and wildcards.
 */
export class TopicTemplate {
  readonly text: string
  readonly names: readonly string[]
  readonly #levels: readonly TemplateLevel[]
  readonly #rest: boolean

  /** @throws {SyntaxError} with a message fit for the configuration's author. */
  constructor(text: string) {
    const levels = text.split('/')
    this.#rest = levels.at(-1) === '#'
    if (this.#rest) levels.pop()
    this.#levels = levels.map(level => parseLevel(level, text))
    this.names = [
      ...this.#levels.flatMap(level => (level.kind === 'name' ? [level.name] : [])),
      ...(this.#rest ? ['rest'] : [])
    ]
    const repeated = this.names.find((name, index) => this.names.indexOf(name) !== index)
    if (repeated) throw new SyntaxError(`'${text}' names {${repeated}} twice`)
    this.text = text
  }

  /** @returns The named levels, or undefined when the topic does not match. */
  match(topic: string): Record<string, string> | undefined {
    return this.matchLevels(topic.split('/'))
  }

  /** The same for a topic that was split at its slashes before. */
  matchLevels(levels: readonly string[]): Record<string, string> | undefined {
    if (this.#rest ? levels.length < this.#levels.length : levels.length !== this.#levels.length) {
      return undefined
    }
    const found: Record<string, string> = {}
    for (let index = 0; index < this.#levels.length; index++) {
      const expected = this.#levels[index]
      const level = levels[index]
      if (expected.kind === 'literal' && expected.text !== level) return undefined
      if (expected.kind === 'name') {
        // An empty level would make a device without a name.
        if (level === '') return undefined
        found[expected.name] = level
      }
    }
    if (this.#rest) found.rest = levels.slice(this.#levels.length).join('/')
    return found
  }
}

type TemplateLevel =
  | { kind: 'literal'; text: string }
  | { kind: 'name'; name: string }
  | { kind: 'any' }

function parseLevel(level: string, text: string): TemplateLevel {
  if (level === '+') return { kind: 'any' }
  const name = /^\{([a-z][a-z0-9_]*)\}$/.exec(level)?.[1]
  if (name) return { kind: 'name', name }
  if (/[{}+#]/.test(level)) {
    throw new SyntaxError(
      `'${level}' in '${text}' is neither a literal level nor {name}, '+' or a last '#'`
    )
  }
  return { kind: 'literal', text: level }
}
