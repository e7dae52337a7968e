import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { pause, UnansweredError, withDeadline } from '../../../core/runtime/deadline.ts'

const never = new Promise<never>(() => {})

test('an answer in time passes, and so does a rejection', async () => {
  expect(await withDeadline('it', 1000, Promise.resolve(5))).toBe(5)
  await expect(withDeadline('it', 1000, Promise.reject(new Error('no')))).rejects.toThrow('no')
})

test('without an answer in time the caller is told what did not answer', async () => {
  await expect(withDeadline('sending', 5, never)).rejects.toThrow(new UnansweredError('sending', 5))
  await expect(withDeadline('sending', 5, never)).rejects.toThrow(
    'sending did not answer within 5 ms'
  )
})

test('a rejection that comes too late is nobody’s unhandled one', async () => {
  let reject: (error: Error) => void = () => {}
  const call = new Promise((_, onReject) => {
    reject = onReject
  })
  await expect(withDeadline('it', 1, call)).rejects.toBeInstanceOf(UnansweredError)
  const unhandled: unknown[] = []
  const listener = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', listener)
  reject(new Error('late'))
  await new Promise(setImmediate)
  process.off('unhandledRejection', listener)
  expect(unhandled).toEqual([])
})

test('a pause ends after its time, with its signal, or at once if that was aborted', async () => {
  await pause(1)
  const startedAt = performance.now()
  const abort = new AbortController()
  const paused = pause(60_000, abort.signal)
  abort.abort()
  await paused
  await pause(60_000, abort.signal)
  expect(performance.now() - startedAt).toBeLessThan(1000)
})

test('a pause leaves no listener behind on a signal that lives on', async () => {
  const { signal } = new AbortController()
  for (let n = 0; n < 20; n++) await pause(0, signal)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})
