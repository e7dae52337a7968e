import type { Mechanism } from 'kafkajs'
import { messageOf } from '../runtime/errors.ts'
import { KafkaSecurityError } from './security-errors.ts'

const SEPARATOR = '\u0001'

/**
 * SASL OAUTHBEARER as kafkajs takes a mechanism of somebody else's. Its own one (2.2.4) overlooks a
 * refusal: the broker answers a token that it does not accept with a challenge, not with an error,
 * and the client went on as if it were logged in.
 *
 * Source: RFC 7628 §3; Kafka's `OAuthBearerSaslServer`.
 *
 * @param tokenValue A token, each time one is needed.
 */
export function oauthLogin(tokenValue: () => Promise<string>): Mechanism {
  return {
    mechanism: 'oauthbearer',
    authenticationProvider: ({ saslAuthenticate }) => ({
      async authenticate() {
        const token = await tokenValue()
        const challenge = await exchange(
          saslAuthenticate,
          `n,,${SEPARATOR}auth=Bearer ${token}${SEPARATOR}${SEPARATOR}`
        )
        if (challenge === '') return
        // The exchange ends with this; the answer is the error proper, or the broker hangs up.
        await exchange(saslAuthenticate, SEPARATOR)
        throw refused(challenge)
      }
    })
  }
}

type Authenticate = Parameters<Mechanism['authenticationProvider']>[0]['saslAuthenticate']

async function exchange(saslAuthenticate: Authenticate, message: string): Promise<string> {
  try {
    const answer = await saslAuthenticate<string>({
      request: { encode: () => withLength(Buffer.from(message)) },
      // Length in front, -1 for nothing.
      response: { decode: bytes => bytes, parse: bytes => bytes.subarray(4).toString() }
    })
    return answer ?? ''
  } catch (error) {
    // A protocol error is the broker's own word; what else there is, is the connection's.
    if ((error as { type?: unknown }).type === undefined) throw error
    throw refused(messageOf(error))
  }
}

function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** @param said The broker's words, as a rule `{"status":"invalid_token"}`. */
function refused(said: string): KafkaSecurityError {
  const [, status] = /"status"\s*:\s*"([A-Za-z0-9_ -]{1,60})"/.exec(said) ?? []
  const reason = status ?? said.slice(0, 200)
  const message = `SASL OAUTHBEARER: the broker refuses the token (${reason}): correct kafka.sasl, or what the broker expects of a token (issuer, audience, scope)`
  return new KafkaSecurityError('SASL_AUTHENTICATION_FAILED', message)
}
