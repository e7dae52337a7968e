import net from 'node:net'
import { Prng } from '../../core/runtime/prng.ts'
import { connectBytes, publishBytes } from '../kit/raw-mqtt.ts'

/*
 * A process that is a fleet: devices with one metric each, white noise around a level, JSON of 200
 * bytes at QoS 1 with the instant of publishing as `ts`. After a warm-up it gives spikes, one
 * reading each, on known devices at known instants, spread over the rest of the run; it prints them
 * as one JSON line. Loopback only.
 *
 *   node alert-fleet.js PORT SITE DEVICES RATE WARM_UP_READINGS SPIKES SECONDS
 */

export interface AlertFleetResult {
  acknowledged: number
  /** In the order of publishing; `at`: epoch ms. */
  spikes: { device: string; at: number }[]
}

const CONNECTIONS = 50
const TICK_MS = 2
const PAYLOAD_BYTES = 200
const LEVEL = 50
const WARM_UP_SPEED = 4
/** Deviations: beyond any doubt, and beyond any habit. */
const SPIKE = 60

const [, , port, site, ...numbers] = process.argv
const [devices, rate, warmUp, wanted, seconds] = numbers.map(Number)
const toLearn = devices * warmUp
const total = toLearn + rate * seconds
const prng = new Prng(6)
const spikes: AlertFleetResult['spikes'] = []
let sent = 0
let acknowledged = 0
let welcomed = 0
let startedMs = 0

const sockets = Array.from({ length: CONNECTIONS }, (_, index) => {
  const socket = net.connect(Number(port), '127.0.0.1')
  socket.setNoDelay(true)
  socket.write(connectBytes({ clientId: `${site}-${index}` }))
  let seen = 0
  socket.on('data', chunk => {
    // CONNACK and PUBACK are four bytes each.
    const packets = (seen + chunk.length) >> 2
    const before = seen >> 2
    seen += chunk.length
    if (before === 0 && packets > 0 && ++welcomed === CONNECTIONS) start()
    acknowledged += packets - before - (before === 0 && packets > 0 ? 1 : 0)
    if (acknowledged === total) report()
  })
  socket.on('error', fail)
  socket.on('close', () => fail(new Error('the agent closed a connection')))
  return socket
})

function start(): void {
  startedMs = performance.now()
  setInterval(publishDue, TICK_MS)
}

/** Learning is hurried. */
function publishDue(): void {
  const quickly = ((performance.now() - startedMs) / 1000) * rate * WARM_UP_SPEED
  const due = quickly < toLearn ? quickly : toLearn + (quickly - toLearn) / WARM_UP_SPEED
  for (; sent < Math.min(total, Math.floor(due)); sent++) publish(sent)
}

/** Devices take turns; every so many readings after the warm-up one stands out. */
function publish(reading: number): void {
  const index = reading % devices
  const measured = reading - toLearn
  const every = Math.floor((total - toLearn) / wanted)
  const spike = measured >= 0 && measured % every === every - 1 && spikes.length < wanted
  const device = `d${index}`
  const at = Date.now()
  const value = LEVEL + (spike ? SPIKE : 0) + prng.normal()
  const head = `{"ts":${at},"value":${value.toFixed(3)},"pad":"`
  const payload = `${head.padEnd(PAYLOAD_BYTES - 2, 'x')}"}`
  const topic = `telemetry/${site}/${device}/temperature`
  const id = (Math.floor(reading / CONNECTIONS) % 65_535) + 1
  sockets[index % CONNECTIONS].write(publishBytes({ topic, payload, qos: 1, id }))
  if (spike) spikes.push({ device, at })
}

function report(): void {
  const result: AlertFleetResult = { acknowledged, spikes }
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
}

function fail(error: Error): void {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}
