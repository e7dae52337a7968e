import { randomBytes } from 'node:crypto'
import { portOf, type UpstreamConfig } from '../../agent/ingest/upstream/config.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { secretText } from '../../core/runtime/secrets.ts'
import { readTlsFiles } from '../../core/runtime/tls-files.ts'
import { refusalOf } from './mqtt-refusal.ts'
import { MqttTalk } from './mqtt-talk.ts'
import { type Probe, Trial } from './probe.ts'
import { reach } from './reach.ts'
import { openWebsocket } from './websocket.ts'

const KEEP_ALIVE_S = 30
const SUBSCRIBE_ID = 1
/** MQTT 5 §3.8.3.1: no retained messages at the subscription. */
const RETAIN_NONE = 2
/** From here on a code of a SUBACK is a refusal. */
const REFUSED = 0x80

/**
 * Connects under a client id of its own with a session that ends at once, so that the agent's session
 * is neither taken over nor changed, and asks for each filter with quality 0: the answer says whether
 * it is allowed, and it goes before a message is waited for. Shared subscriptions are not asked for,
 * as their messages would be missing elsewhere.
 */
export async function tryUpstream(
  upstream: UpstreamConfig,
  index: number,
  deadlineAt: number
): Promise<Probe> {
  const url = new URL(upstream.url)
  const scheme = url.protocol.slice(0, -1)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = portOf(url)
  const trial = new Trial('upstream', `${upstream.name} (${scheme}://${url.hostname}:${port})`, [
    'upstreams',
    index
  ])
  const secure = scheme === 'mqtts' || scheme === 'wss'
  const tls = () => tlsOf(upstream)
  const socket = await reach({ host, port, ...(secure ? { tls } : {}) }, trial, deadlineAt)
  if (!socket) return trial.end()
  try {
    const version5 = upstream.mqttVersion === '5'
    const stream = scheme.startsWith('ws') ? await openWebsocket(socket, url, deadlineAt) : socket
    const talk = new MqttTalk(stream, { version5, deadlineAt })
    await login(talk, upstream, version5, trial)
    if (!trial.failed) await subscribe(talk, upstream.topics, version5, trial)
    talk.say({ cmd: 'disconnect' })
  } catch (error) {
    trial.fail(messageOf(error))
  } finally {
    // The last word is sent before it goes.
    socket.end(() => socket.destroy())
    setTimeout(() => socket.destroy(), 200).unref()
  }
  return trial.end()
}

function tlsOf({ name, tls }: UpstreamConfig) {
  if (!tls) return {}
  const { servername, alpn } = tls
  return {
    ...readTlsFiles(tls, `upstreams.${name}.tls`),
    ...(servername === undefined ? {} : { servername }),
    ...(alpn ? { ALPNProtocols: alpn } : {})
  }
}

async function login(
  talk: MqttTalk,
  { username, password }: UpstreamConfig,
  version5: boolean,
  trial: Trial
): Promise<void> {
  const clientId = `fieldline-dry-run-${randomBytes(3).toString('hex')}`
  const secret = password === undefined ? undefined : secretText(password)
  talk.say({
    ...{ cmd: 'connect', protocolId: 'MQTT', protocolVersion: version5 ? 5 : 4, clientId },
    // No session expiry: the session ends with the connection.
    ...{ clean: true, keepalive: KEEP_ALIVE_S },
    ...(username === undefined ? {} : { username }),
    ...(secret === undefined ? {} : { password: Buffer.from(secret) })
  })
  const { returnCode, reasonCode = returnCode ?? 0 } = await talk.answer('connack')
  if (reasonCode !== 0) trial.fail(refusalOf(reasonCode))
  else trial.fact(`login accepted${username === undefined ? ' without a user' : ''}`)
}

async function subscribe(
  talk: MqttTalk,
  topics: readonly string[],
  version5: boolean,
  trial: Trial
): Promise<void> {
  const asked = topics.filter(topic => !topic.startsWith('$share/'))
  const shared = topics.length - asked.length
  if (shared > 0) trial.fact(`${shared} shared subscriptions not tried`)
  if (asked.length === 0) return
  talk.say({
    ...{ cmd: 'subscribe', messageId: SUBSCRIBE_ID },
    // Quality 0: whatever comes meanwhile is nobody's loss.
    subscriptions: asked.map(topic => ({ topic, qos: 0, ...(version5 ? { rh: RETAIN_NONE } : {}) }))
  })
  const { granted } = await talk.answer('suback')
  const refused = asked.filter((_, index) => Number(granted[index]) >= REFUSED)
  for (const topic of refused) {
    trial.fail(
      `the broker refuses the subscription '${topic}': give this user the right to read it`
    )
  }
  const allowed = asked.length - refused.length
  if (allowed > 0) trial.fact(`${allowed} of ${asked.length} subscriptions allowed`)
}
