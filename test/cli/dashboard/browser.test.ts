import { mkdir, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { AgentViews } from '../../../cli/agent-view/agent-view.ts'
import { dashboard } from '../../../cli/dashboard/dashboard.ts'
import type { AlertData } from '../../../core/contract/alert-event.ts'
import { HttpServer, json } from '../../../core/runtime/http.ts'
import { silentLogger } from '../../../core/runtime/log.ts'
import type { HeardDevice } from '../../../detector/alert/silence.ts'
import { noCounters } from '../../../detector/counters.ts'
import { LiveView } from '../../../detector/live/live-view.ts'
import { SeriesHistory } from '../../../detector/live/series-history.ts'
import {
  type Browser,
  chromium,
  NO_CHROMIUM,
  openBrowser,
  type PageLook
} from '../../kit/chromium.ts'
import { type StatusWishes, someStatus } from '../agent-view/some-status.ts'

/* The page as a person's browser shows it. DASHBOARD_PICTURES=DIR keeps what was seen. */

const TOKEN = 'a-token-that-is-long-enough-to-be-one'
const PHONE: Partial<PageLook> = { width: 390, height: 844 }
const PICTURES = process.env.DASHBOARD_PICTURES

interface Fleet {
  devices?: string[]
  alerts?: Partial<AlertData>[]
  silent?: number
}

/** A detector with readings of two metrics a device, the last of them out of its range. */
function viewOf({ devices = [], alerts = [], silent = 0 }: Fleet): LiveView {
  const now = Date.now()
  const history = new SeriesHistory({ now: () => performance.now() })
  history.keepsLatest = true
  const names = new Map(
    devices.map(device => [
      device,
      ['temperature', '<b>load</b>'].map(metric => ({ site: 'plant7', device, metric }))
    ])
  )
  for (const series of [...names.values()].flat()) {
    for (let i = 120; i >= 0; i--) {
      const [at, value] = [now - i * 1000, 60 + Math.sin(i / 7) + (i === 0 ? 9 : 0)]
      const explain = () => ({ expected: 60, lower: 58, upper: 62, reason: '' })
      history.watch({ series, at, value, score: i === 0 ? 0.99 : 0.1, learning: false, explain })
      if (devices.length > 100) break
    }
  }
  const open = alerts.map((alert, i) => ({
    data: {
      ...{ alertId: String(i), site: 'plant7', metric: 'temperature', kind: 'anomaly' },
      ...{ state: 'raised', severity: 'critical', startedAt: new Date(now - 60_000).toISOString() },
      ...{ reason: '69 is far above what is usual', contributions: [], value: 69, lower: 58 },
      ...{ upper: 62, ...alert }
    }
  }))
  return new LiveView(
    {
      openAlerts: () =>
        open as unknown as ReturnType<LiveView['look']>[0]['alerts']['shown'] as never,
      counters: () => ({ ...noCounters(), series: 2 * devices.length, seriesLearning: 0 }) as never,
      heardDevices: () =>
        devices.map((device, i) => {
          const receivedAt = i < silent ? now - 300_000 : now
          const heard = { site: 'plant7', device, receivedAt, intervalMs: 5000, silent: i < silent }
          return heard as HeardDevice
        }),
      seriesOf: ({ device }) => names.get(device) ?? []
    },
    history
  )
}

async function serve(wishes: StatusWishes, fleet: Fleet = {}, token?: string) {
  const view = viewOf(fleet)
  const page = dashboard({
    status: () => someStatus(wishes),
    look: async requests => structuredClone(view.look(requests)),
    views: new AgentViews({ kafka: ['kafka-1:9092'], overflow: 'drop_oldest', detects: true }),
    intervalMs: 200
  })
  const http = await HttpServer.open({
    ...page,
    address: { host: '127.0.0.1', port: 0 },
    token,
    logger: silentLogger,
    pages: { ...page.pages, '/status': () => json({}) }
  })
  let open = true
  const close = async () => {
    if (open) await http.close()
    open = false
  }
  onTestFinished(close)
  return { url: `http://127.0.0.1:${http.port}/`, close }
}

/** Texts whose contrast is less than WCAG 2.2 §1.4.3 asks for, with their ratio. */
const FAINT_TEXTS = `(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true })
  const bytes = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data] }
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] / 255 + under[i] * (1 - top[3] / 255))
  const light = rgb => rgb.map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0)
  const back = node => {
    const own = bytes(getComputedStyle(node).backgroundColor)
    return own[3] === 255 ? own.slice(0, 3) : over(own, node.parentElement ? back(node.parentElement) : [255, 255, 255])
  }
  const faint = []
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const of = node.parentElement
    if (!node.textContent.trim() || !of.checkVisibility() || of.closest('.unseen, noscript')) continue
    const style = getComputedStyle(of)
    const [a, b] = [light(over(bytes(style.color), back(of))), light(back(of))].sort((x, y) => y - x)
    const ratio = (a + .05) / (b + .05)
    const size = parseFloat(style.fontSize)
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700)
    if (ratio < (large ? 3 : 4.5)) faint.push(node.textContent.trim().slice(0, 40) + ' ' + ratio.toFixed(2))
  }
  return faint
})()`

const WIDER = 'document.documentElement.scrollWidth > innerWidth'
const STREAMING: StatusWishes = { stored: 5000, delivered: 5000 }
const lastError = { code: 'X', message: 'connect ECONNREFUSED 10.0.0.1:9092', sinceAt: Date.now() }
const OUTAGE: StatusWishes = {
  ...{ mode: 'buffering', stored: 5000, bytes: 1 << 28 },
  lane: {
    state: 'waiting',
    backlogRecords: 4321,
    backlogBytes: 3 << 20,
    backlogAgeMs: 61_000,
    lastError,
    etaSeconds: null
  }
}
const PARKED: StatusWishes = {
  ...{ mode: 'parked', stored: 7 },
  lane: {
    ...{ state: 'parked', backlogRecords: 7 },
    lastError: { ...lastError, code: 'UNKNOWN_TOPIC_OR_PARTITION', topic: 'iot.raw' }
  }
}
const FULL: StatusWishes = {
  ...OUTAGE,
  mode: 'full',
  bytes: 1 << 30,
  parts: { drops: { 'log.full': 9 } }
}
const pumps = (n: number) =>
  Array.from({ length: n }, (_, i) => `pump-${String(i).padStart(4, '0')}`)
const TWELVE = { devices: pumps(12), alerts: pumps(12).map(device => ({ device })), silent: 2 }
const HOSTILE = [
  '<img src=x onerror="document.title=1">',
  '"\'></script><script>document.body.remove()</script>',
  '\u202Egnp.exe\u0007\u200b',
  'שלום-7',
  'x'.repeat(600),
  '{{7*7}}'
]

if (!chromium) process.stderr.write(`Skipped: ${NO_CHROMIUM}\n`)

describe.skipIf(!chromium)(`in ${chromium ?? NO_CHROMIUM}`, () => {
  let browser: Browser
  beforeAll(async () => {
    browser = await openBrowser()
  })
  afterAll(() => browser?.close())

  async function show(name: string, url: string, shown: string, look: Partial<PageLook> = {}) {
    const page = await browser.page(look)
    onTestFinished(page.close)
    await page.open(url)
    await page.until(`document.body.innerText.includes(${JSON.stringify(shown)})`)
    if (PICTURES) {
      await mkdir(PICTURES, { recursive: true })
      await writeFile(`${PICTURES}/${name}.png`, await page.picture())
    }
    return page
  }

  const states: [string, StatusWishes, Fleet, string][] = [
    ['empty', {}, {}, 'Send a first reading'],
    ['streaming', STREAMING, { devices: pumps(30) }, 'All is well'],
    ['alerts', STREAMING, TWELVE, '12 devices need a look'],
    ['outage', OUTAGE, { devices: pumps(30) }, 'Kafka is away; nothing is lost'],
    ['parked', PARKED, { devices: pumps(3) }, 'Parked: topic iot.raw'],
    ['full', FULL, { devices: pumps(3) }, 'Lost since start: 9 dropped']
  ]
  for (const scheme of ['light', 'dark'] as const) {
    for (const [size, look] of [
      ['desktop', {}],
      ['phone', PHONE]
    ] as const) {
      test.each(states)(
        `%s, ${scheme}, ${size}: nothing too wide or too faint, no complaint, no other origin`,
        async (name, wishes, fleet, shown) => {
          const { url } = await serve(wishes, fleet)
          const page = await show(`${name}-${scheme}-${size}`, url, shown, { ...look, scheme })
          if (fleet.devices) await page.until(`document.querySelector('.uplot canvas')`)
          expect(await page.run(WIDER)).toBe(false)
          expect(await page.run(FAINT_TEXTS)).toEqual([])
          expect(page.complaints).toEqual([])
          expect(page.requested.filter(asked => !asked.startsWith(url))).toEqual([])
          expect(page.requested.length).toBeGreaterThan(4)
        }
      )
    }
  }

  test('an outage says what waits and that the end is not known', async () => {
    const { url } = await serve(OUTAGE, { devices: pumps(3) })
    const page = await show('outage-words', url, '4,321 readings are safe')
    expect(await page.run(`$ = document.getElementById('node-disk').innerText`)).toContain(
      '3.0 MiB, the oldest for 1 min 1 s'
    )
    expect(await page.run(`document.querySelector('#pipe-out').classList.contains('broken')`)).toBe(
      true
    )
  })

  test('names of strangers are text: nothing of them runs, is hidden, turns a line or widens the page', async () => {
    const alerts = HOSTILE.map(device => ({ device, reason: device, metric: '<b>load</b>' }))
    const { url } = await serve(STREAMING, { devices: HOSTILE, alerts })
    for (const look of [{}, PHONE]) {
      const page = await show(
        `hostile-${look.width ?? 1280}`,
        url,
        `${HOSTILE.length} devices need a look`,
        look
      )
      const said = await page.run<string>('document.body.innerText')
      for (const name of [HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[5]])
        expect(said).toContain(name)
      expect(said).toContain('\uFFFDgnp.exe\uFFFD\uFFFD')
      for (const unseen of ['\u202e', '\u200b', '\u0007']) expect(said).not.toContain(unseen)
      expect(
        await page.run(`document.querySelectorAll('main img, main script, main b b').length`)
      ).toBe(0)
      expect(await page.run('document.title')).toContain('Fieldline')
      expect(await page.run(WIDER)).toBe(false)
      expect(page.complaints).toEqual([])
    }
  })

  test('of 5,000 devices those that need a look are shown, others are found by name', async () => {
    const { url } = await serve(STREAMING, {
      devices: pumps(5000),
      silent: 3,
      alerts: [{ device: 'pump-4000' }]
    })
    const page = await show('fleet', url, '5,000, 3 silent')
    const names = `[...document.querySelectorAll('#devices-rows button')].map(b => b.textContent)`
    expect((await page.run<string[]>(names)).slice(0, 4)).toEqual(
      ['0000', '0001', '0002', '4000'].map(n => `plant7/pump-${n}`)
    )
    expect(await page.run<number>(`document.querySelectorAll('*').length`)).toBeLessThan(1500)
    await page.run(
      `(find => { find.value = 'PUMP-477'; find.dispatchEvent(new Event('input')) })(document.getElementById('find'))`
    )
    await page.until(`${names}[0] === 'plant7/pump-4770' && ${names}.length === 10`)
    expect(page.complaints).toEqual([])
  })

  test('alerts are reached by the keyboard, and one that is chosen is drawn', async () => {
    const { url } = await serve(STREAMING, TWELVE)
    const page = await show('keyboard', url, '12 devices need a look')
    const focused = `document.activeElement.className + getComputedStyle(document.activeElement).outlineStyle`
    for (let i = 0; i < 2; i++) await page.key('Tab')
    expect(await page.run(focused)).toBe('alertsolid')
    const who = await page.run<string>(`document.activeElement.querySelector('.who').textContent`)
    await page.key('Enter')
    await page.until(
      `${JSON.stringify(who)}.startsWith(document.getElementById('chart-name').textContent)`
    )
    expect(await page.run(`document.activeElement.className`)).toBe('alert')
  })

  test('the state is a word for those who do not see it, and only its title is announced', async () => {
    const { url } = await serve(OUTAGE, {})
    const page = await show('words', url, 'Kafka is away')
    expect(await page.run(`document.querySelector('[role=status]').textContent`)).toBe(
      'Warning: Kafka is away; nothing is lost'
    )
    expect(await page.run(`document.querySelectorAll('[aria-live]').length`)).toBe(0)
  })

  test('nothing moves for those who do not want it', async () => {
    const { url } = await serve(STREAMING, { devices: pumps(3) })
    const page = await show('still', url, 'All is well', { still: true })
    expect(await page.run('document.getAnimations().length')).toBe(0)
  })

  test('an agent that stops is told of, and what is old is dimmed', async () => {
    const { url, close } = await serve(STREAMING, { devices: pumps(3) })
    const page = await show('before-stop', url, 'All is well')
    await close()
    await page.until(`document.body.innerText.includes('No word from the agent')`)
    await page.until(`getComputedStyle(document.querySelector('.flow')).opacity < 1`)
    expect(await page.run('document.title')).toMatch(/^! No word/)
    if (PICTURES) await writeFile(`${PICTURES}/stopped.png`, await page.picture())
  })

  test('a token is asked for, a wrong one refused, the right one opens the page', async () => {
    const { url } = await serve(STREAMING, { devices: pumps(3) }, TOKEN)
    const page = await show('login', url, 'Access token', PHONE)
    expect(await page.run(WIDER)).toBe(false)
    expect(await page.run(FAINT_TEXTS)).toEqual([])
    const hand = (token: string) =>
      page.run(
        `(() => { document.getElementById('token').value = '${token}'; document.forms[0].requestSubmit() })()`
      )
    await hand('wrong')
    await page.until(`document.body.innerText.includes('This is not the token')`)
    await hand(TOKEN)
    await page.until(`document.body.innerText.includes('All is well')`)
    expect(await page.run('document.cookie')).toBe('')
  })
})
