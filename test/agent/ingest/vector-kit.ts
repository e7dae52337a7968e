import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { lengthBytes } from '../../kit/raw-mqtt.ts'

/** Packet sequences of Mosquitto's own tests, where they lie beside the checkout: not part of it. */
const DIRECTORY = fileURLToPath(new URL('../../../../shared/data/mqtt-vectors', import.meta.url))

export interface VectorStep {
  kind: 'send' | 'recv' | 'publish'
  /** Without those of `publish`. */
  bytes: Buffer
  topic: string
  payload: string
  qos: 0 | 1 | 2
}

export interface Vector {
  /** `FILE: NAME` */
  name: string
  group: string
  /** MQTT 3.1 (3) or 3.1.1 (4) */
  version: 3 | 4
  connects: boolean
  disconnects: boolean
  steps: VectorStep[]
}

interface VectorFile {
  group: string
  ver?: number
  connect?: boolean
  expect_disconnect?: boolean
  tests: {
    name: string
    ver?: number
    connect?: boolean
    expect_disconnect?: boolean
    msgs: { type: string; payload: string; topic?: string; qos?: number }[]
  }[]
}

/** Every vector for MQTT 3.1 and 3.1.1; none when the files are not there. */
export function readVectors(): Vector[] {
  if (!existsSync(DIRECTORY)) return []
  const vectors: Vector[] = []
  for (const file of readdirSync(DIRECTORY).sort()) {
    if (!file.endsWith('.json')) continue
    const group = path.basename(file, '.json')
    const groups: VectorFile[] = JSON.parse(readFileSync(path.join(DIRECTORY, file), 'utf8'))
    for (const { tests, ...defaults } of groups) {
      for (const test of tests) {
        const version = test.ver ?? defaults.ver ?? 4
        if (version !== 3 && version !== 4) continue
        vectors.push({
          name: `${group}: ${test.name.trim()}`,
          group,
          version,
          connects: test.connect ?? defaults.connect ?? true,
          disconnects: test.expect_disconnect ?? defaults.expect_disconnect ?? true,
          steps: test.msgs.map(({ type, payload, topic = '', qos = 0 }) => ({
            kind: type === 'send' || type === 'recv' ? type : 'publish',
            bytes: type === 'send' || type === 'recv' ? bytesOf(payload) : Buffer.alloc(0),
            topic,
            payload,
            qos: Number(qos) as 0 | 1 | 2
          }))
        })
      }
    }
  }
  return vectors
}

/** Hex bytes, `r` a remaining length, `s` a length, `m` a packet id, `k` a keep-alive, text in quotes. */
export function bytesOf(notation: string): Buffer {
  const parts: Buffer[] = []
  for (const [token] of notation.matchAll(/'[^']*'|\S+/g)) {
    const number = Number(token.slice(1))
    if (token.startsWith("'")) parts.push(Buffer.from(token.slice(1, -1)))
    else if (token.startsWith('r')) parts.push(lengthBytes(number))
    else if (/^[smk]/.test(token)) parts.push(Buffer.from([number >> 8, number & 0xff]))
    else parts.push(Buffer.from(token, 'hex'))
  }
  return Buffer.concat(parts)
}
