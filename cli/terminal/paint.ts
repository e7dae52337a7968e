import { NO_PAINT, PAINT, type Paint } from './text.ts'

/**
 * Colours, if the reader wants them: `NO_COLOR` takes them away wherever they would go, `FORCE_COLOR`
 * brings them into pipes and files, and without either a terminal has them.
 *
 * Source: https://no-color.org, "when present and not an empty string"; https://force-color.org.
 */
export function paintFor(
  env: Readonly<Record<string, string | undefined>>,
  stream: { readonly isTTY?: boolean }
): Paint {
  if (env.NO_COLOR) return NO_PAINT
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '') {
    return /^(0|false)$/.test(env.FORCE_COLOR) ? NO_PAINT : PAINT
  }
  return stream.isTTY && env.TERM !== 'dumb' ? PAINT : NO_PAINT
}
