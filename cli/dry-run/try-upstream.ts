import { randomBytes } from 'node:crypto'
import type { UpstreamConfig } from '../../agent/ingest/upstream/config.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { secretText } from '../../core/runtime/secrets.ts'
import { readTlsFiles } from '../../core/runtime/tls-files.ts'
import { MqttTalk } from './mqtt-talk.ts'
import { connectPacket, disconnectPacket, refusalOf, subscribePacket } from './mqtt-words.ts'
import { type Probe, Trial } from './probe.ts'
import { reach } from './reach.ts'

const PORTS: Readonly<Record<string, number>> = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 }
const CONNACK = 2
const SUBACK = 9
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
  const port = Number(url.port || PORTS[scheme])
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
    const talk = await MqttTalk.open(socket, {
      ...{ version5, deadlineAt, host: url.host },
      ...(scheme.startsWith('ws') ? { path: url.pathname } : {})
    })
    await login(talk, upstream, version5, trial)
    if (!trial.failed) await subscribe(talk, upstream.topics, version5, trial)
    talk.say(disconnectPacket())
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
  talk.say(
    connectPacket({
      ...{ clientId, version5 },
      ...(username === undefined ? {} : { username }),
      ...(secret === undefined ? {} : { password: secret })
    })
  )
  const { codes } = await talk.answer(CONNACK)
  if (codes[0] !== 0) trial.fail(refusalOf(codes[0]))
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
  talk.say(subscribePacket(asked, version5))
  const { codes } = await talk.answer(SUBACK)
  const refused = asked.filter((_, index) => codes[index] >= REFUSED)
  for (const topic of refused) {
    trial.fail(
      `the broker refuses the subscription '${topic}': give this user the right to read it`
    )
  }
  const allowed = asked.length - refused.length
  if (allowed > 0) trial.fact(`${allowed} of ${asked.length} subscriptions allowed`)
}
