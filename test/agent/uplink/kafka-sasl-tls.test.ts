import { expect, test } from 'vitest'
import { TestAuthority } from '../../kit/certificates.ts'
import { useOwnKafka } from '../../kit/kafka.ts'
import { PASSWORD, type SecureKafka, startSecureKafka, USER } from '../../kit/secure-kafka.ts'
import { MODES } from './delivery-kit.ts'
import { grantedTopic, startLane } from './secure-lane.ts'

/** Each trouble parks the lane with words for a person, and is over once the file is corrected. */

let own: SecureKafka
useOwnKafka(async () => {
  own = await startSecureKafka({ clientCertificates: true })
  return own
})

/** Four starts of a broker. */
const SLOW_MS = 180_000
const HOSTS = ['127.0.0.1', 'localhost']
const DAY_MS = 86_400_000
const stranger = new TestAuthority('stranger')

/** Certificate, key and authority in files of the test's own. */
function filesOf(name: string) {
  const { cert, key } = own.authority.issue({ name: 'gateway' })
  return {
    ca: own.write(`${name}-ca.pem`, own.authority.cert),
    cert: own.write(`${name}-cert.pem`, cert),
    key: own.write(`${name}-key.pem`, key)
  }
}

function tlsOf({ ca, cert, key }: ReturnType<typeof filesOf>) {
  return { tls: { ca, cert, key } }
}

test.each(MODES)(
  '%s: an authority that is not ours parks the lane until kafka.tls.ca is corrected',
  async mode => {
    const topic = await grantedTopic(own, 'ca')
    const files = filesOf(mode)
    own.write(`${mode}-ca.pem`, stranger.cert)
    const lane = await startLane(own, mode, own.config(tlsOf(files)), topic)
    const delivered = lane.deliver()
    await lane.shows({
      code: 'TLS_CA_UNTRUSTED',
      message: /^127\.0\.0\.1:\d+ .*set kafka\.tls\.ca/
    })
    own.write(`${mode}-ca.pem`, own.authority.cert)
    expect(await delivered).toBe(true)
    await lane.isWhole()
  }
)

test('a client certificate that is missing, of a stranger, or expired is refused, and one that is good is taken', async () => {
  const topic = await grantedTopic(own, 'client')
  const none = await startLane(own, 'at_least_once', own.config(), topic)
  void none.deliver()
  const refused = {
    code: 'TLS_CLIENT_CERTIFICATE_REFUSED',
    message: /kafka\.tls\.cert and kafka\.tls\.key/
  }
  await none.shows(refused)
  const files = filesOf('client')
  const lane = await startLane(own, 'at_least_once', own.config(tlsOf(files)), topic)
  const show = ({ cert, key }: { cert: string; key: string }) => {
    own.write('client-cert.pem', cert)
    own.write('client-key.pem', key)
  }
  show(stranger.issue({ name: 'gateway' }))
  const delivered = lane.deliver()
  await lane.shows(refused)
  const dated = (from: number, until: number) => ({
    validFrom: new Date(Date.now() + from),
    validUntil: new Date(Date.now() + until)
  })
  show(own.authority.issue({ name: 'gateway', ...dated(-2 * DAY_MS, -DAY_MS) }))
  await lane.shows(refused)
  own.write('client-key.pem', stranger.issue({ name: 'other' }).key)
  await lane.shows({ code: 'TLS_FILES_UNUSABLE', message: /key must belong to cert/ })
  own.write('client-cert.pem', 'no certificate')
  await lane.shows({ code: 'TLS_FILES_UNUSABLE', message: /cannot be used/ })
  show(own.authority.issue({ name: 'gateway', hosts: HOSTS }))
  expect(await delivered).toBe(true)
  await lane.isWhole()
})

test(
  "the broker's certificate is refused when it has expired, is not valid yet, or names others",
  async () => {
    const topic = await grantedTopic(own, 'broker')
    const lane = await startLane(own, 'at_least_once', own.config(tlsOf(filesOf('broker'))), topic)
    const restartWith = async (certificate: Partial<Parameters<TestAuthority['issue']>[0]>) => {
      await own.node.kill()
      own.useCertificate(own.authority.issue({ name: 'broker', hosts: HOSTS, ...certificate }))
      await own.node.start()
    }
    expect(await lane.deliver()).toBe(true)
    await restartWith({ validFrom: new Date(0), validUntil: new Date(Date.now() - DAY_MS) })
    const delivered = lane.deliver()
    await lane.shows({ code: 'TLS_CERTIFICATE_EXPIRED', message: /renew the broker's/ })
    await restartWith({
      validFrom: new Date(Date.now() + DAY_MS),
      validUntil: new Date(Date.now() + 2 * DAY_MS)
    })
    await lane.shows({ code: 'TLS_CERTIFICATE_EXPIRED', message: /is this machine's clock right/ })
    await restartWith({ hosts: ['kafka.example'] })
    await lane.shows({
      code: 'TLS_HOST_MISMATCH',
      message: /kafka\.brokers.*it is for DNS:kafka\.example, not 127\.0\.0\.1/
    })
    await restartWith({})
    expect(await delivered).toBe(true)
    await lane.isWhole()
  },
  SLOW_MS
)

test('a broker is verified even when the environment of the process says otherwise', async () => {
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  try {
    const topic = await grantedTopic(own, 'environment')
    const files = { ...filesOf('environment'), ca: own.write('environment-ca.pem', stranger.cert) }
    const lane = await startLane(own, 'at_least_once', own.config(tlsOf(files)), topic)
    void lane.deliver()
    await lane.shows({ code: 'TLS_CA_UNTRUSTED' })
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
  }
})

test('a port that does not speak TLS is told from one that cannot be reached', async () => {
  const topic = await grantedTopic(own, 'open')
  const config = own.config({ ...tlsOf(filesOf('open')), brokers: own.internal })
  const lane = await startLane(own, 'at_least_once', config, topic)
  void lane.deliver()
  const message = /it may not speak TLS on this port/
  await lane.shows({ kind: 'waiting', code: 'TLS_HANDSHAKE_CUT', message })
})

test.each(MODES)(
  '%s: a password that is wrong parks the lane until its file is corrected',
  async mode => {
    const topic = await grantedTopic(own, 'password')
    const file = own.write(`${mode}-password`, 'wrong\n')
    const sasl = { mechanism: 'scram-sha-512', username: USER, password: PASSWORD }
    const config = own.config({ ...tlsOf(filesOf(`${mode}-sasl`)), sasl })
    config.sasl = { mechanism: 'scram-sha-512', username: USER, password: { file } }
    const lane = await startLane(own, mode, config, topic)
    const delivered = lane.deliver()
    await lane.shows({ code: 'SASL_AUTHENTICATION_FAILED', message: /correct kafka\.sasl/ })
    own.write(`${mode}-password`, '')
    await lane.shows({ code: 'SECRET_UNREADABLE', message: /-password is empty/ })
    own.write(`${mode}-password`, `${PASSWORD}\n`)
    expect(await delivered).toBe(true)
    await lane.isWhole()
    const told = JSON.stringify(lane.states)
    expect(told).not.toContain(PASSWORD)
  }
)
