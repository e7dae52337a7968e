import net from 'node:net'
import { Aedes } from 'aedes'

/*
 * What an MQTT broker costs by itself: aedes, which acknowledges at once and stores nothing. Says
 * `ready` once it listens.
 *
 *   node plain-broker.js PORT
 */

const aedes = await Aedes.createBroker()
net
  .createServer({ noDelay: true }, aedes.handle)
  .listen(Number(process.argv[2]), '127.0.0.1', () => process.stdout.write('ready\n'))
