/*
 * As much of MQTT as a trial takes: CONNECT, SUBSCRIBE, DISCONNECT and their answers, bare or in
 * WebSocket frames. The agent's own client would take the session over that it is to leave alone.
 *
 * Spec: MQTT 3.1.1 §3.1, §3.2, §3.8, §3.9; MQTT 5 the same; RFC 6455 §5.2.
 */

export interface Login {
  clientId: string
  username?: string
  password?: string
  version5: boolean
}

const CLEAN = 0x02
const USERNAME = 0x80
const PASSWORD = 0x40
const KEEP_ALIVE_S = 30
const SUBSCRIBE_ID = 1

export function connectPacket({ clientId, username, password, version5 }: Login): Buffer {
  const flags =
    CLEAN | (username === undefined ? 0 : USERNAME) | (password === undefined ? 0 : PASSWORD)
  return packet(
    0x10,
    text('MQTT'),
    Buffer.from([version5 ? 5 : 4, flags, 0, KEEP_ALIVE_S]),
    // No properties: the session ends with the connection.
    ...(version5 ? [Buffer.from([0])] : []),
    text(clientId),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)])
  )
}

/** Quality 0: whatever comes meanwhile is nobody's loss. */
export function subscribePacket(filters: readonly string[], version5: boolean): Buffer {
  const wanted = filters.flatMap(filter => [
    text(filter),
    Buffer.from([version5 ? RETAIN_NONE : 0])
  ])
  const head = Buffer.from([0, SUBSCRIBE_ID, ...(version5 ? [0] : [])])
  return packet(0x82, head, ...wanted)
}

/** MQTT 5 §3.8.3.1: no retained messages at the subscription. */
const RETAIN_NONE = 0x20

export function disconnectPacket(): Buffer {
  return packet(0xe0)
}

export interface Answer {
  /** Of the control packet: 2 CONNACK, 3 PUBLISH, 9 SUBACK. */
  type: number
  /** CONNACK: the one; SUBACK: one a filter. */
  codes: number[]
}

/** The first whole packet, and what is behind it. */
export function takeAnswer(
  bytes: Buffer,
  version5: boolean
): { answer: Answer; rest: Buffer } | undefined {
  const size = variable(bytes, 1)
  if (!size || bytes.length < size.next + size.value) return undefined
  const body = bytes.subarray(size.next, size.next + size.value)
  const type = bytes[0] >> 4
  return {
    answer: { type, codes: codesOf(type, body, version5) },
    rest: bytes.subarray(size.next + size.value)
  }
}

function codesOf(type: number, body: Buffer, version5: boolean): number[] {
  if (type === 2) return [body[1]]
  if (type !== 9) return []
  const properties = version5 ? variable(body, 2) : undefined
  return [...body.subarray(properties ? properties.next + properties.value : 2)]
}

/** Why the broker refuses; 3.1.1 has five codes, 5 has many. */
export function refusalOf(code: number): string {
  switch (code) {
    case 1:
    case 0x84:
      return 'the broker does not speak this version of MQTT: set mqtt_version'
    case 2:
    case 0x85:
      return 'the broker refuses the client id of this trial'
    case 3:
    case 0x88:
      return 'the broker is not available (it says so itself)'
    case 4:
    case 0x86:
      return 'user or password are wrong'
    case 5:
    case 0x87:
      return 'this user may not connect'
    default:
      return `the broker refuses (0x${code.toString(16).padStart(2, '0')})`
  }
}

/** One binary frame of a client, whole. */
export function frame(payload: Buffer, mask: Buffer): Buffer {
  const { length } = payload
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 255]
  const masked = payload.map((byte, index) => byte ^ mask[index % 4])
  return Buffer.concat([Buffer.from([0x82, ...size]), mask, masked])
}

/** The payload of the first whole frame of a server, and what is behind it. */
export function takeFrame(bytes: Buffer): { payload: Buffer; rest: Buffer } | undefined {
  if (bytes.length < 2) return undefined
  const short = bytes[1] & 127
  const head = short === 127 ? 10 : short === 126 ? 4 : 2
  if (bytes.length < head) return undefined
  const length =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short
  if (bytes.length < head + length) return undefined
  return { payload: bytes.subarray(head, head + length), rest: bytes.subarray(head + length) }
}

function packet(first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length: number[] = []
  let left = body.length
  do {
    length.push((left & 127) | (left > 127 ? 128 : 0))
    left >>>= 7
  } while (left > 0)
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes])
}

/** A length of one to four bytes, seven bits each. */
function variable(bytes: Buffer, from: number): { value: number; next: number } | undefined {
  let value = 0
  for (let at = from; at < bytes.length && at < from + 4; at++) {
    value |= (bytes[at] & 127) << (7 * (at - from))
    if ((bytes[at] & 128) === 0) return { value, next: at + 1 }
  }
  return undefined
}
