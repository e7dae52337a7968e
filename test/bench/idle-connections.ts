import net from 'node:net'
import { connectBytes } from '../kit/raw-mqtt.ts'

/*
 * Devices that are connected and have nothing to say but a PINGREQ now and then. Says `ready` once all
 * are welcome; ends with 1 when one is cut off.
 *
 *   node idle-connections.js PORT COUNT
 */

const KEEP_ALIVE_S = 60
const PING_MS = 30_000
/** Connecting at a time: a listener's queue is short. */
const AT_ONCE = 50

const [port, count] = process.argv.slice(2).map(Number)
let begun = 0
let welcome = 0

function connect(): void {
  if (begun === count) return
  const hello = connectBytes({ clientId: `idle-${begun++}`, keepAliveS: KEEP_ALIVE_S })
  const socket = net.connect(port, '127.0.0.1', () => {
    socket.write(hello)
  })
  socket.once('data', () => {
    setInterval(() => socket.write(Buffer.from([0xc0, 0])), PING_MS)
    if (++welcome === count) process.stdout.write('ready\n')
    connect()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    process.stderr.write('an idle connection was closed\n')
    process.exit(1)
  })
}

for (let n = 0; n < AT_ONCE; n++) connect()
