import { EventEmitter } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { onStopSignals } from '../../../core/runtime/lifecycle.ts'
import { packageRoot, packageVersion } from '../../../core/runtime/package-root.ts'

test('the first signal stops gracefully, the second hard, the third is left to the system', () => {
  const signals = new EventEmitter()
  const stops: boolean[] = []
  onStopSignals(async hard => void stops.push(hard), signals)
  signals.emit('SIGTERM')
  expect(stops).toEqual([false])
  expect(signals.listenerCount('SIGINT')).toBe(1)
  signals.emit('SIGINT')
  expect(stops).toEqual([false, true])
  expect(signals.listenerCount('SIGINT') + signals.listenerCount('SIGTERM')).toBe(0)
})

test('signals are no longer heard once the listeners are taken away', () => {
  const signals = new EventEmitter()
  const dispose = onStopSignals(async () => {
    throw new Error('heard')
  }, signals)
  dispose()
  expect(signals.eventNames()).toEqual([])
})

test('the package root holds package.json and the sources', () => {
  expect(existsSync(join(packageRoot(), 'core', 'runtime', 'package-root.ts'))).toBe(true)
  expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/)
})
