import dns from 'node:dns'
import { readFileSync } from 'node:fs'

/*
 * Loaded into a process before its own code (`NODE_OPTIONS=--import …`): there the name `localhost` is
 * 127.0.0.1 alone, and does not resolve while the file `$FIELDLINE_NAMES` holds an error's code, such
 * as EAI_AGAIN (the name server cannot be reached) or ENOTFOUND (it knows of no such name).
 */

const FAILING_NAME = 'localhost'
const ADDRESS = { address: '127.0.0.1', family: 4 }
const control = process.env.FIELDLINE_NAMES

function failureCode(): string {
  try {
    return control ? readFileSync(control, 'utf8').trim() : ''
  } catch {
    return ''
  }
}

function failure(code: string): Error {
  const errno = code === 'EAI_AGAIN' ? -3001 : -3008
  const details = { code, errno, syscall: 'getaddrinfo', hostname: FAILING_NAME }
  return Object.assign(new Error(`getaddrinfo ${code} ${FAILING_NAME}`), details)
}

const { lookup } = dns
const { lookup: lookupPromise } = dns.promises

// biome-ignore lint/suspicious/noExplicitAny: the overloads of a function that is replaced
dns.lookup = ((name: string, ...rest: any[]) => {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  if (name !== FAILING_NAME) return (lookup as any)(name, ...rest)
  const callback = rest.at(-1)
  const options = rest.length > 1 ? rest[0] : {}
  const code = failureCode()
  if (code) setImmediate(callback, failure(code))
  else if (options?.all) setImmediate(callback, null, [ADDRESS])
  else setImmediate(callback, null, ADDRESS.address, ADDRESS.family)
}) as typeof dns.lookup

// biome-ignore lint/suspicious/noExplicitAny: as above
dns.promises.lookup = (async (name: string, options?: any) => {
  if (name !== FAILING_NAME) return lookupPromise(name, options)
  const code = failureCode()
  if (code) throw failure(code)
  return options?.all ? [ADDRESS] : ADDRESS
}) as typeof dns.promises.lookup
