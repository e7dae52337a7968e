import { type PasswordHash, parsePasswordHash } from './password-hash.ts'

/*
 * Users and the digests of their passwords, one a line: NAME:$scrypt$…; empty lines and those that
 * begin with '#' are for people. `fieldline passwd` writes it.
 */

export const USERS_FILE_BYTES_MAX = 8 << 20
const USERS_MAX = 50_000
const NAME_BYTES_MAX = 256

/** @throws {SyntaxError} when it cannot stand in the file as a user's name. */
export function checkUserName(name: string): void {
  if (name === '' || Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new SyntaxError(`a user name is 1 to ${NAME_BYTES_MAX} bytes long`)
  }
  if (/[:\p{Cc}]/u.test(name) || name.startsWith('#') || name.trim() !== name) {
    throw new SyntaxError(
      "a user name holds no ':' and no control character, begins with no '#', and has no space at its ends"
    )
  }
}

/**
 * @returns Digests by user.
 * @throws {SyntaxError} with the number of the first wrong line; never with what it holds.
 */
export function parseUsers(text: string): Map<string, PasswordHash> {
  const users = new Map<string, PasswordHash>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    try {
      if (colon < 0) throw new SyntaxError('expected NAME:$scrypt$…')
      checkUserName(name)
      if (users.has(name)) throw new SyntaxError('the user stands in an earlier line too')
      if (users.size >= USERS_MAX) throw new SyntaxError(`more than ${USERS_MAX} users`)
      users.set(name, parsePasswordHash(line.slice(colon + 1).trimEnd()))
    } catch (error) {
      throw new SyntaxError(`line ${index + 1}: ${(error as Error).message}`)
    }
  }
  return users
}

/**
 * @param hash Undefined takes the user out.
 * @returns The file's text with the user in or out, all other lines as they were.
 */
export function withUser(text: string, name: string, hash: string | undefined): string {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const isTheirs = (line: string) => !line.startsWith('#') && line.startsWith(`${name}:`)
  const at = lines.findIndex(isTheirs)
  const others = lines.filter(line => !isTheirs(line))
  if (hash !== undefined) others.splice(at < 0 ? others.length : at, 0, `${name}:${hash}`)
  return others.length === 0 ? '' : `${others.join('\n')}\n`
}
