import { stringify } from 'yaml'

/** Plain values as YAML text, the way people write configurations. */
export function printConfig(values: unknown): string {
  return stringify(values, { lineWidth: 100, singleQuote: true })
}
