import net from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openListener } from '../../../core/runtime/listen.ts'

function server(): net.Server {
  const made = net.createServer()
  onTestFinished(() => void made.close())
  return made
}

test('a listener is open once the promise resolves', async () => {
  const listener = server()
  await openListener(listener, { host: '127.0.0.1', port: 0 })
  expect(listener.listening).toBe(true)
  expect(listener.listenerCount('error')).toBe(0)
})

test('a port that is taken, a host that does not resolve, an address of another machine: each one clear error', async () => {
  const first = server()
  await openListener(first, { host: '127.0.0.1', port: 0 })
  const { port } = first.address() as net.AddressInfo
  await expect(openListener(server(), { host: '127.0.0.1', port })).rejects.toMatchObject({
    code: 'ADDRESS_IN_USE',
    message: expect.stringContaining(`127.0.0.1:${port}`)
  })
  await expect(
    openListener(server(), { host: 'no-such-host.invalid', port: 0 })
  ).rejects.toMatchObject({
    code: 'HOST_UNKNOWN',
    message: expect.stringContaining('no-such-host.invalid')
  })
  await expect(openListener(server(), { host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
    code: 'LISTEN_FAILED'
  })
})
