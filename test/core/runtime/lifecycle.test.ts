import { EventEmitter } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { heedSignalsEarly, onStopSignals, RunSignals } from '../../../core/runtime/lifecycle.ts'
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

test('before anything is open a signal ends the process in order, and SIGHUP does not', () => {
  const signals = new EventEmitter()
  let ends = 0
  heedSignalsEarly(() => ends++, signals)
  signals.emit('SIGHUP')
  expect(ends).toBe(0)
  signals.emit('SIGTERM')
  expect(ends).toBe(1)
  const stops: boolean[] = []
  onStopSignals(async hard => void stops.push(hard), signals)
  signals.emit('SIGTERM')
  expect([ends, stops]).toEqual([1, [false]])
})

test('a signal that comes during the start is answered when that is over', () => {
  const answers: string[] = []
  const signals = new EventEmitter()
  const run = new RunSignals(signals, code => answers.push(`exit ${code}`))
  signals.emit('SIGHUP')
  expect(run.stopAsked).toBe(false)
  run.answer(
    async () => void answers.push('stop'),
    async () => void answers.push('reload')
  )
  expect(answers).toEqual(['reload'])
  signals.emit('SIGHUP')
  signals.emit('SIGTERM')
  signals.emit('SIGTERM')
  expect(answers).toEqual(['reload', 'reload', 'stop', 'exit 1'])
})

test('whoever is to stop before it has started, does, whatever else was asked', () => {
  const answers: string[] = []
  const signals = new EventEmitter()
  const run = new RunSignals(signals, code => answers.push(`exit ${code}`))
  signals.emit('SIGHUP')
  signals.emit('SIGINT')
  expect([run.stopAsked, answers]).toEqual([true, []])
  run.answer(
    async () => void answers.push('stop'),
    async () => void answers.push('reload')
  )
  expect(answers).toEqual(['stop'])
  run.dispose()
  expect(signals.eventNames()).toEqual([])
})

test('the package root holds package.json and the sources', () => {
  expect(existsSync(join(packageRoot(), 'core', 'runtime', 'package-root.ts'))).toBe(true)
  expect(packageVersion()).toMatch(/^\d+\.\d+\.\d+/)
})
