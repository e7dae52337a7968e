import { once } from 'node:events'
import { expect, test } from 'vitest'
import type { Driver } from '../../../agent/uplink/driver.ts'
import { judge } from '../../../agent/uplink/kafka-errors.ts'
import { UnansweredError } from '../../../core/runtime/deadline.ts'
import { deliveryOver, MODES, upTo } from './delivery-kit.ts'
import { recordsOf } from './records.ts'

/** Kafka takes nothing, and tells nothing, until the session is closed. */
function silentDriver(): { driver: Driver; sends: EventTarget } {
  const sends = new EventTarget()
  const closed = new AbortController()
  const send = async () => {
    sends.dispatchEvent(new Event('send'))
    await once(closed.signal, 'abort')
    throw new UnansweredError('sending', 300)
  }
  const nothing = async () => {}
  const driver: Driver = {
    judge,
    open: async () => ({
      isOutdated: false,
      send,
      begin: async () => ({ send, sendOffset: nothing, commit: nothing }),
      committed: async () => ({ clusterId: 'c', committed: undefined }),
      close: async () => closed.abort()
    })
  }
  return { driver, sends }
}

test.each(MODES)('%s: a stop in the middle of a send is no trouble of Kafka’s', async mode => {
  const { driver, sends } = silentDriver()
  const { delivery, states } = deliveryOver(driver, mode, { transactionalId: 'a' })
  const stop = new AbortController()
  await delivery.start(stop.signal)
  const sent = once(sends, 'send')
  const delivered = delivery.deliver(recordsOf('t', 0, 10), upTo(10), stop.signal)
  await sent
  stop.abort()
  await delivery.close()
  expect(await delivered).toBe(false)
  expect(states).toEqual([{ kind: 'streaming' }])
})
