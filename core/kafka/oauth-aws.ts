import { messageOf, systemCode } from '../runtime/errors.ts'
import type { Token } from './oauth.ts'
import { KafkaSecurityError } from './security-errors.ts'

/** The part of `aws-msk-iam-sasl-signer-js` that is used. */
export interface MskSigner {
  generateAuthToken(options: { region: string }): Promise<{
    token: string
    /** Epoch ms. */
    expiryTime: number
  }>
}

/** Brings the AWS SDK with it, so it is no dependency: it is installed beside Fieldline by who needs it. */
const SIGNER_PACKAGE = 'aws-msk-iam-sasl-signer-js'
const ANSWER_MS_MAX = 30_000

/**
 * A token for Amazon MSK with IAM: a request signed with the credentials that AWS' own libraries find
 * (environment, profile, instance or container role).
 *
 * @param load For tests; default: the package, when it is first needed.
 * @throws {KafkaSecurityError} OAUTH_TOKEN_REFUSED: no package, no credentials.
 */
export async function mskToken(
  region: string,
  load: () => Promise<MskSigner> = loadSigner
): Promise<Token> {
  const signer = await load()
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const message = `AWS gave no credentials within ${ANSWER_MS_MAX / 1000} s`
      reject(new KafkaSecurityError('OAUTH_TOKEN_UNAVAILABLE', message))
    }, ANSWER_MS_MAX)
  })
  try {
    const { token, expiryTime } = await Promise.race([signer.generateAuthToken({ region }), late])
    return { value: token, expiresAt: expiryTime }
  } catch (error) {
    if (error instanceof KafkaSecurityError) throw error
    throw new KafkaSecurityError(
      'OAUTH_TOKEN_REFUSED',
      `no token for MSK in ${region}: ${messageOf(error)}; give this machine AWS credentials (role, profile or environment)`
    )
  } finally {
    clearTimeout(timer)
  }
}

/** @param load For tests: a bundler of theirs stands in for packages that are not installed. */
export async function loadSigner(
  load: (name: string) => Promise<unknown> = name => import(name)
): Promise<MskSigner> {
  try {
    return (await load(SIGNER_PACKAGE)) as MskSigner
  } catch (error) {
    const absent = systemCode(error) === 'ERR_MODULE_NOT_FOUND'
    const message = absent
      ? `kafka.sasl.provider 'aws-msk-iam' needs the package ${SIGNER_PACKAGE}: npm install ${SIGNER_PACKAGE}`
      : `${SIGNER_PACKAGE} cannot be loaded: ${messageOf(error)}`
    throw new KafkaSecurityError('OAUTH_TOKEN_REFUSED', message)
  }
}
