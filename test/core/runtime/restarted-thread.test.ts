import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { RestartedThread } from '../../../core/runtime/restarted-thread.ts'
import { temporaryDirectory } from '../../kit/temp-directory.ts'

/** Tells its data, then does as ordered. */
const BODY = `
import { parentPort, workerData } from 'node:worker_threads'
parentPort.on('message', order => {
  if (order === 'throw') throw new Error('a fault of the thread')
  if (order === 'exit') process.exit(7)
  if (order === 'hang') for (;;);
  if (order === 'stop') parentPort.close()
  if (order === 'linger') parentPort.postMessage(0)
})
parentPort.postMessage(workerData)
`

type Order = 'throw' | 'exit' | 'hang' | 'linger' | 'stop'

function startThread(body = BODY, settled?: () => Promise<unknown>) {
  const file = path.join(temporaryDirectory(), 'thread.mjs')
  writeFileSync(file, body)
  const lives: number[] = []
  const faults: string[] = []
  const waits: number[] = []
  let life = 0
  const thread = new RestartedThread<Order, number>({
    file: pathToFileURL(file),
    name: 'test',
    dataOf: () => ++life,
    onNews: news => lives.push(news),
    onFault: (fault, waitMs) => {
      faults.push(fault)
      waits.push(waitMs)
    },
    waitMsMin: 5,
    ...(settled ? { settled } : {})
  })
  onTestFinished(() => thread.stop('stop', 0))
  return { thread, lives, faults, waits }
}

/** A thread whose former life leaves something under way until the test settles it. */
async function startHeld() {
  const former = { asked: false, settle: () => {} }
  const settled = new Promise<void>(resolve => {
    former.settle = resolve
  })
  const started = startThread(BODY, () => {
    former.asked = true
    return settled
  })
  await expect.poll(() => started.lives).toEqual([1])
  return { ...started, former }
}

test('a thread that ends by itself is told, and started again with new data', async () => {
  const { thread, lives, faults } = startThread()
  await expect.poll(() => lives).toEqual([1])
  thread.order('throw')
  await expect.poll(() => lives).toEqual([1, 2])
  thread.order('exit')
  await expect.poll(() => lives).toEqual([1, 2, 3])
  expect(faults[0]).toContain('a fault of the thread')
  expect(faults[1]).toBe('it ended with 7')
})

test('a thread that fails at once, again and again, is left alone for longer each time', async () => {
  const { waits } = startThread('throw new Error("never well")')
  await expect.poll(() => waits.length, { timeout: 20_000 }).toBeGreaterThan(4)
  expect(waits.slice(0, 5)).toEqual([5, 10, 20, 40, 80])
})

test('a thread is not started again before what its former life left under way is settled', async () => {
  const { thread, lives, former } = await startHeld()
  thread.order('throw')
  await expect.poll(() => former.asked).toBe(true)
  expect([lives, thread.running]).toEqual([[1], false])
  former.settle()
  await expect.poll(() => lives).toEqual([1, 2])
})

test('a stopped thread stays stopped, and its end is no fault', async () => {
  const { thread, lives, faults } = startThread()
  await expect.poll(() => lives).toEqual([1])
  await thread.stop('stop', 60_000)
  expect([thread.running, faults]).toEqual([false, []])
})

test('a stop between two lives begins no new one', async () => {
  const { thread, lives, former } = await startHeld()
  thread.order('exit')
  await expect.poll(() => former.asked).toBe(true)
  await thread.stop('stop', 60_000)
  former.settle()
  await new Promise(resolve => setImmediate(resolve))
  expect([lives, thread.running]).toEqual([[1], false])
})

test('a thread that is replaced ends as ordered and begins anew with new data, which is no fault', async () => {
  const { thread, lives, faults, former } = await startHeld()
  const replaced = thread.replace('stop', 60_000)
  await expect.poll(() => former.asked).toBe(true)
  expect([lives, thread.running]).toEqual([[1], false])
  former.settle()
  await replaced
  await expect.poll(() => lives).toEqual([1, 2])
  expect(faults).toEqual([])
  // It is watched as before.
  thread.order('exit')
  await expect.poll(() => lives).toEqual([1, 2, 3])
})

test('a thread that fails while it is replaced begins one life, not two', async () => {
  const { thread, lives, former } = await startHeld()
  thread.order('throw')
  await expect.poll(() => former.asked).toBe(true)
  const replaced = thread.replace('stop', 60_000)
  former.settle()
  await replaced
  await expect.poll(() => lives).toEqual([1, 2])
  await new Promise(resolve => setTimeout(resolve, 50))
  expect(lives).toEqual([1, 2])
})

test('a thread that has done what it was ordered to is not waited for, a well one is not ended', async () => {
  const { thread, lives, faults } = startThread()
  await expect.poll(() => lives).toEqual([1])
  thread.end()
  const stopped = thread.stop('linger', 60_000)
  await expect.poll(() => lives).toEqual([1, 0])
  thread.end()
  await stopped
  expect([thread.running, faults]).toEqual([false, []])
})

test('a thread that does not hear is ended by force', async () => {
  const { thread, lives } = startThread()
  await expect.poll(() => lives).toEqual([1])
  thread.order('hang')
  await thread.stop('stop', 20)
  expect(thread.running).toBe(false)
})

test('a thread has the heap limits that it was given', async () => {
  const file = path.join(temporaryDirectory(), 'thread.mjs')
  writeFileSync(
    file,
    `import { parentPort, resourceLimits } from 'node:worker_threads'
     parentPort.postMessage(resourceLimits.maxYoungGenerationSizeMb)`
  )
  const told: number[] = []
  const thread = new RestartedThread<Order, number>({
    ...{ file: pathToFileURL(file), name: 'test', dataOf: () => 0 },
    resourceLimits: { maxYoungGenerationSizeMb: 12 },
    onNews: news => told.push(news),
    onFault: () => {}
  })
  onTestFinished(() => thread.stop('stop', 0))
  await expect.poll(() => told[0]).toBe(12)
})

test('faults and the time at work are counted over all lives, and never go back', async () => {
  const { thread, lives } = startThread()
  await expect.poll(() => lives).toEqual([1])
  await expect.poll(() => thread.busyMs).toBeGreaterThan(0)
  const before = thread.busyMs
  thread.order('throw')
  await expect.poll(() => lives).toEqual([1, 2])
  expect(thread.faults).toBe(1)
  expect(thread.busyMs).toBeGreaterThanOrEqual(before)
  await expect.poll(() => thread.busyMs).toBeGreaterThan(before)
})
