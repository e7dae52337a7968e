import { expect, test } from 'vitest'
import { useOwnKafka } from '../../kit/kafka.ts'
import { PASSWORD, type SecureKafka, startSecureKafka, USER } from '../../kit/secure-kafka.ts'
import { MODES } from './delivery-kit.ts'
import { grantedTopic, type SecureLane, startLane } from './secure-lane.ts'

/** Certificates and passwords that are exchanged under way: nothing is lost, doubled, or restarted. */

let own: SecureKafka
useOwnKafka(async () => {
  own = await startSecureKafka({ clientCertificates: true })
  return own
})

let password = PASSWORD

function configOf(name: string) {
  const { cert, key } = own.authority.issue({ name: 'gateway' })
  const file = own.write(`${name}-password`, `${password}\n`)
  const config = own.config({
    tls: {
      ca: own.write(`${name}-ca.pem`, own.authority.cert),
      cert: own.write(`${name}-cert.pem`, cert),
      key: own.write(`${name}-key.pem`, key)
    }
  })
  return {
    ...config,
    sasl: { mechanism: 'scram-sha-512' as const, username: USER, password: { file } }
  }
}

/** Delivers until a trial login was made, and a session after it. */
async function deliversUntilRenewed(lane: SecureLane): Promise<void> {
  const wanted = lane.sessions + 2
  const deadline = performance.now() + 20_000
  while (lane.sessions < wanted && performance.now() < deadline) {
    expect(await lane.deliver()).toBe(true)
  }
  expect(lane.sessions).toBe(wanted)
}

test.each(MODES)(
  '%s: a password that is exchanged is used from then on, and nothing parks',
  async mode => {
    const topic = await grantedTopic(own, 'rotation')
    const lane = await startLane(own, mode, configOf(mode), topic)
    expect(await lane.deliver()).toBe(true)
    const next = `${password}+`
    await own.changePassword(next)
    // The brokers have the new one, the file has the old one: the connection lasts.
    expect(await lane.deliver()).toBe(true)
    own.write(`${mode}-password`, `${next}\n`)
    password = next
    await deliversUntilRenewed(lane)
    expect(await lane.deliver()).toBe(true)
    // A file that is ahead of the brokers does not disturb the connection that there is.
    own.write(`${mode}-password`, 'not yet known\n')
    const sessions = lane.sessions
    for (let n = 0; n < 20; n++) expect(await lane.deliver()).toBe(true)
    own.write(`${mode}-password`, `${next}\n`)
    expect(lane.states.filter(({ kind }) => kind === 'parked')).toEqual([])
    expect(lane.sessions - sessions).toBeLessThanOrEqual(1)
    await lane.isWhole()
  }
)

test.each(MODES)(
  '%s: a password changed at the brokers while they restart parks the lane until the file follows',
  async mode => {
    const topic = await grantedTopic(own, 'late')
    const lane = await startLane(own, mode, configOf(`late-${mode}`), topic)
    expect(await lane.deliver()).toBe(true)
    const next = `${password}-`
    await own.changePassword(next)
    await own.node.kill()
    const delivered = lane.deliver()
    await own.node.start()
    await lane.shows({ code: 'SASL_AUTHENTICATION_FAILED' })
    own.write(`late-${mode}-password`, `${next}\n`)
    password = next
    expect(await delivered).toBe(true)
    await lane.isWhole()
  }
)

test.each(MODES)('%s: a client certificate that is exchanged is used from then on', async mode => {
  const topic = await grantedTopic(own, 'certificate')
  const name = `certificate-${mode}`
  const lane = await startLane(own, mode, configOf(name), topic)
  expect(await lane.deliver()).toBe(true)
  const { cert, key } = own.authority.issue({ name: 'gateway, renewed' })
  own.write(`${name}-cert.pem`, cert)
  // For a moment the two do not belong together: that is no reason to stop.
  expect(await lane.deliver()).toBe(true)
  own.write(`${name}-key.pem`, key)
  await deliversUntilRenewed(lane)
  expect(lane.states.filter(({ kind }) => kind !== 'streaming')).toEqual([])
  await lane.isWhole()
})
