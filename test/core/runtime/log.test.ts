import { expect, test } from 'vitest'
import { createLogger, LOG_LEVELS, setLogLevel, silentLogger } from '../../../core/runtime/log.ts'

function loggerTo(level: (typeof LOG_LEVELS)[number]) {
  const lines: string[] = []
  return { lines, logger: createLogger(level, line => lines.push(line)) }
}

test('a line is one JSON object with level, time, event and message', () => {
  const { lines, logger } = loggerTo('info')
  logger.warn({ event: 'log.dropped', records: 3 }, 'Dropped\nrecords.')
  expect(lines).toHaveLength(1)
  expect(lines[0].indexOf('\n')).toBe(lines[0].length - 1)
  expect(JSON.parse(lines[0])).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    event: 'log.dropped',
    records: 3,
    msg: 'Dropped\nrecords.'
  })
})

test('below its level a logger says nothing', () => {
  for (const [index, level] of LOG_LEVELS.entries()) {
    const { lines, logger } = loggerTo(level)
    for (const each of ['debug', 'info', 'warn', 'error'] as const) logger[each]('x')
    expect(lines).toHaveLength(4 - index)
  }
  expect(() => silentLogger.error('x')).not.toThrow()
})

test('a new level holds for the children that there are, and for those to come', () => {
  const { lines, logger } = loggerTo('warn')
  const child = logger.child({ lane: 'telemetry' })
  const grandchild = child.child({ part: 1 })
  setLogLevel(logger, 'debug')
  const late = child.child({ part: 2 })
  for (const each of [logger, child, grandchild, late]) each.debug('x')
  expect(lines).toHaveLength(4)
  setLogLevel(logger, 'error')
  for (const each of [logger, child, grandchild, late]) each.warn('x')
  expect(lines).toHaveLength(4)
})

test('passwords never reach a line', () => {
  const { lines, logger } = loggerTo('info')
  logger.info(
    { password: 'hunter2', kafka: { sasl: { password: 'hunter2' } }, sasl: 'hunter2' },
    'x'
  )
  expect(lines[0]).not.toContain('hunter2')
})
