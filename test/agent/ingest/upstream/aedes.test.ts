import { expect, test } from 'vitest'
import { aedesBroker, until, upstream } from './upstream-kit.ts'

test('aedes sends again what was not acknowledged when the connection is lost, and nothing is missing', async () => {
  const { aedes, server, port } = await aedesBroker()
  const { client, intake } = upstream(port, { topics: ['t/#'], qos: 2 })
  let acknowledged = 0
  aedes.on('ack', packet => {
    // A QoS 2 message is acknowledged twice: by PUBREC and by PUBCOMP, which has no topic left.
    if (packet?.cmd === 'publish') acknowledged++
  })
  client.start()
  await until(() => client.status.state === 'connected')
  const send = (n: number, qos: 1 | 2): Promise<void> =>
    new Promise((resolve, reject) =>
      aedes.publish(
        { cmd: 'publish', topic: `t/${n}`, payload: `${n}`, qos, retain: false, dup: false },
        error => (error ? reject(error) : resolve())
      )
    )
  await send(1, 1)
  await send(2, 2)
  await intake.arrival(2)
  expect(acknowledged).toBe(0)
  server.sockets.forEach(socket => {
    socket.destroy()
  })
  intake.storesAtOnce = true
  await until(() => client.status.connects === 2 && client.status.state === 'connected')
  for (const arrival of intake.arrivals) arrival.resolve()
  await send(3, 1)
  const topics = () => intake.arrivals.map(a => a.message.topic)
  await until(() => topics().includes('t/3'))
  expect(topics().filter(topic => topic === 't/1').length).toBe(2)
  expect(new Set(topics())).toEqual(new Set(['t/1', 't/2', 't/3']))
  await until(() => acknowledged >= 2)
})

test('aedes no longer sends what a removed filter selected', async () => {
  const { aedes, port } = await aedesBroker()
  const first = upstream(port, { topics: ['old', 'both'] })
  let known: string[] = []
  first.client.start()
  await until(() => first.client.status.state === 'connected')
  await first.client.stop()
  const second = upstream(port, {
    topics: ['both'],
    previousTopics: ['old', 'both'],
    onTopics: topics => {
      known = topics
    }
  })
  second.client.start()
  await until(() => second.client.status.state === 'connected')
  expect(known).toEqual(['both'])
  second.intake.storesAtOnce = true
  for (const topic of ['old', 'both']) {
    const packet = {
      cmd: 'publish',
      topic,
      payload: 'x',
      qos: 1,
      retain: false,
      dup: false
    } as const
    await new Promise<void>(resolve => aedes.publish(packet, () => resolve()))
  }
  await second.intake.arrival(1)
  expect(second.intake.arrivals.map(a => a.message.topic)).toEqual(['both'])
})
