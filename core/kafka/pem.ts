/** The PEM text itself, where a field holds a path or the text. */
export function pemOf(value: string, readFile: (path: string) => string): string {
  return value.includes('-----BEGIN ') ? value : readFile(value)
}
