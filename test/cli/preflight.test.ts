import { once } from 'node:events'
import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { checkAddressesFree } from '../../cli/preflight.ts'

const HOST = '127.0.0.1'

/** A port that somebody listens on until the test ends, or until `release`. */
async function takenPort(): Promise<{ port: number; release: () => Promise<void> }> {
  const server = net.createServer().listen(0, HOST)
  await once(server, 'listening')
  const release = () => new Promise<void>(resolve => server.close(() => resolve()))
  onTestFinished(release)
  return { port: (server.address() as net.AddressInfo).port, release }
}

test('an address that another process listens on is one clear error', async () => {
  const { port } = await takenPort()
  await expect(checkAddressesFree([null, { host: HOST, port }])).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    message: expect.stringContaining(`${HOST}:${port}: another process`)
  })
})

test('two listeners on one address are told before anything on disk is touched', async () => {
  const { port, release } = await takenPort()
  await release()
  const address = { host: HOST, port }
  await expect(checkAddressesFree([address, address])).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    message: `Two listeners are to be on ${HOST}:${port}. Give them different ports.`
  })
})

test('free addresses are free again after the look', async () => {
  const { port, release } = await takenPort()
  await release()
  await checkAddressesFree([{ host: HOST, port }, { host: HOST, port: 0 }, null])
  await checkAddressesFree([{ host: HOST, port }])
})
