import { EventEmitter, once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { topCommand } from '../../cli/commands/top.ts'
import { answerOf } from '../../cli/status/answer.ts'
import { type Seen, type Sight, Sights } from '../../cli/status/sight.ts'
import { StatusClient } from '../../cli/status/status-client.ts'
import { FullScreen } from '../../cli/terminal/full-screen.ts'
import { NO_PAINT, PAINT, widthOf } from '../../cli/terminal/text.ts'
import { renderTop, type Size, type TopPicture } from '../../cli/top/frame.ts'
import { TopHistory } from '../../cli/top/history.ts'
import { runTop } from '../../cli/top/top.ts'
import { HttpServer, json } from '../../core/runtime/http.ts'
import { silentLogger } from '../../core/runtime/log.ts'
import { agentPage, detectorPage, NOW, someAlert, someDevices } from './status-kit.ts'

const ENTER = '\x1b[?1049h\x1b[?25l'
const LEAVE = '\x1b[?25h\x1b[?1049l'

function sightOf(page: object, rest: Partial<Seen> = {}): Sight {
  const answer = answerOf(JSON.stringify(page))
  if (!answer) throw new Error('no answer')
  return new Sights().take({ answer, scraped: undefined, devices: undefined, ...rest }, NOW, 0)
}

function pictureOf(sight: Sight, rest: Partial<TopPicture> = {}): TopPicture {
  const history = new TopHistory()
  history.add(sight)
  return { sight, history, url: 'http://127.0.0.1:8080/', now: NOW, ...rest }
}

function textOf(picture: TopPicture, size: Size = { columns: 120, rows: 40 }): string {
  return renderTop(picture, size, NO_PAINT).join('\n')
}

function busyPage() {
  const lastError = { code: 'X', message: 'no such topic', topic: 'iot.raw', sinceAt: NOW - 5_000 }
  const lane = {
    state: 'parked' as const,
    ...{ backlogRecords: 700, backlogBytes: 70_000, backlogAgeMs: 5_000 },
    ...{ etaSeconds: 90, lastError }
  }
  const alerts = Array.from({ length: 30 }, (_, i) => someAlert({ device: `pump-${i}` }))
  const page = agentPage({ mode: 'parked', lane, bytes: 1 << 28 }, {}, alerts)
  page.drops = { 'log.full': 12 }
  return page
}

/** A terminal that keeps what is written to it. */
class Terminal extends EventEmitter {
  readonly isTTY = true
  columns = 80
  rows = 24
  text = ''
  raw = false

  write(text: string): boolean {
    this.text += text
    this.emit('written', text)
    return true
  }

  setRawMode(raw: boolean): this {
    this.raw = raw
    return this
  }

  pause(): this {
    return this
  }

  resume(): this {
    return this
  }
}

function screenOf(terminal: Terminal): { input: never; output: never } {
  return { input: terminal as never, output: terminal as never }
}

test('the picture says mode, rates, lanes with their way to go, alerts, devices', () => {
  const picture = pictureOf(sightOf(busyPage(), { devices: someDevices() }))
  const text = textOf(picture)
  expect(text).toContain('Fieldline  gateway-7')
  expect(text).toContain('● parked   up 2 h 2 min')
  expect(text).toContain('Parked: topic iot.raw')
  expect(text).toMatch(/telemetry +parked +700 +68\.4 KiB +░{12} {3}0 % +5 s +1 min 30 s/)
  expect(text).toContain('topic iot.raw: no such topic (X, for 5 s)')
  expect(text).toContain('25 %  256 MiB of 1.0 GiB')
  expect(text).toContain('lost      dropped, log full 12')
  expect(text).toContain('alerts    30 open')
  expect(text).toContain('2 heard, 1 silent; the quietest:')
  expect(text).toMatch(/silent +plant7\/pump-9 +4 min 10 s ago/)
  expect(text).not.toMatch(/undefined|NaN/)
})

test.each([
  [120, 40],
  [80, 24],
  [60, 20],
  [40, 10],
  [20, 5]
])('the picture fills a screen of %d columns and %d rows and no more', (columns, rows) => {
  for (const page of [busyPage(), agentPage(), detectorPage({ alerts: [someAlert()] })]) {
    for (const paint of [PAINT, NO_PAINT]) {
      const picture = pictureOf(sightOf(page, { devices: someDevices() }))
      const lines = renderTop(picture, { columns, rows }, paint)
      expect(lines).toHaveLength(rows)
      expect(Math.max(...lines.map(widthOf))).toBeLessThan(Math.max(columns, 21))
      expect(lines.at(-1)).toContain('q quits')
    }
  }
})

test('with no colour the picture has no escape codes', () => {
  const lines = renderTop(pictureOf(sightOf(busyPage())), { columns: 80, rows: 24 }, NO_PAINT)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are looked for
  expect(lines.join('')).not.toMatch(/[\x00-\x1f]/)
})

test('a lane shows how much of its backlog is gone since the peak, and a past error stays told', () => {
  const history = new TopHistory()
  const lane = (backlogRecords: number, lastError?: object) =>
    sightOf(agentPage({ lane: { backlogRecords, ...(lastError ? { lastError } : {}) } as never }))
  history.add(lane(1000, { code: 'X', message: 'away', sinceAt: NOW - 5_000 }))
  const sight = { ...lane(250), at: NOW + 60_000 }
  history.add(sight)
  const text = textOf({ sight, history, url: 'u', now: NOW + 60_000 })
  expect(text).toContain(`${'█'.repeat(9)}░░░  75 %`)
  expect(text).toContain('last error 1 min ago: telemetry: away (X, for 5 s)')
  history.add(lane(0))
  history.add(lane(10))
  expect(history.peaks.get('telemetry')).toBe(10)
})

test('who does not answer any more is told, and the last numbers stay', () => {
  const away = { message: 'Nothing to be had from there.', sinceAt: NOW - 7_000 }
  const text = textOf(pictureOf(sightOf(agentPage()), { away }))
  expect(text).toContain('● no answer for 7 s')
  expect(text).toContain('Nothing to be had from there.')
  expect(text).toContain('telemetry  streaming')
})

test('a central detector shows its lag', () => {
  const text = textOf(pictureOf(sightOf(detectorPage())))
  expect(text).toContain('central detector')
  expect(text).toContain('1,204 records on 2 partitions')
})

test('the screen is entered once, drawn in one write, and given back as it was', () => {
  const terminal = new Terminal()
  const keys: string[] = []
  let resized = 0
  const screen = new FullScreen({
    ...screenOf(terminal),
    onKey: key => keys.push(key),
    onResize: () => resized++
  })
  screen.open()
  screen.open()
  expect(terminal.text).toBe(ENTER)
  expect(terminal.raw).toBe(true)
  terminal.text = ''
  terminal.rows = 2
  screen.draw(['one', 'two', 'three'])
  expect(terminal.text).toBe('\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[0J')
  terminal.emit('data', Buffer.from('x'))
  terminal.emit('resize')
  expect([keys, resized]).toEqual([['x'], 1])
  terminal.text = ''
  screen.close()
  screen.close()
  screen.draw(['late'])
  expect(terminal.text).toBe(LEAVE)
  expect(terminal.raw).toBe(false)
  expect(terminal.listenerCount('data') + terminal.listenerCount('resize')).toBe(0)
})

test.each([
  ['q', () => 'q'],
  ['Ctrl-C', () => '\x03']
])(
  'top redraws, follows the size, shows an outage of the agent, and ends with %s',
  async (_, key) => {
    let answers = true
    const address = { host: '127.0.0.1', port: 0 }
    const pages = {
      '/status': () => (answers ? json(agentPage()) : json({}, 500))
    }
    const http = await HttpServer.open({ address, token: undefined, logger: silentLogger, pages })
    onTestFinished(() => http.close())
    const terminal = new Terminal()
    const url = `http://127.0.0.1:${http.port}/`
    const client = new StatusClient({ url, token: undefined, from: 'the test' })
    const ended = runTop({ client, paint: NO_PAINT, intervalMs: 5, ...screenOf(terminal) })
    const until = async (text: string): Promise<void> => {
      while (!terminal.text.includes(text)) await once(terminal, 'written')
    }
    await until('● streaming')
    answers = false
    await until('● no answer for')
    answers = true
    terminal.text = ''
    await until('● streaming')
    terminal.columns = 100
    terminal.text = ''
    terminal.emit('resize')
    expect(terminal.text).toContain('Fieldline  gateway-7')
    terminal.emit('data', Buffer.from(key()))
    await ended
    expect(terminal.text.endsWith(LEAVE)).toBe(true)
    expect(terminal.raw).toBe(false)
  }
)

test('top does not take the screen when nobody answers', async () => {
  const terminal = new Terminal()
  const client = new StatusClient({ url: 'http://127.0.0.1:9/', token: undefined, from: 'x' })
  const running = runTop({ client, paint: NO_PAINT, ...screenOf(terminal) })
  await expect(running).rejects.toMatchObject({ code: 'STATUS_UNREADABLE' })
  expect(terminal.text).toBe('')
})

test('without a terminal top points to the status for scripts', async () => {
  const running = topCommand().parseAsync([], { from: 'user' })
  await expect(running).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('fieldline status --json')
  })
})
