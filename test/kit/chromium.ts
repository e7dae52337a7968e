import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type RawData, WebSocket } from 'ws'

/*
 * A headless Chromium, driven by its DevTools protocol: the pages are looked at as a person's browser
 * shows them. Debian's; tests are skipped, and say so, where there is none.
 */

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** Its command; undefined where there is none. */
export const chromium = NAMES.find(name => spawnSync(name, ['--version']).status === 0)

export const NO_CHROMIUM =
  'no Chromium here (Debian: apt install chromium): the page is not looked at'

export interface PageLook {
  width: number
  height: number
  scheme: 'light' | 'dark'
  /** Less motion is asked for. */
  still: boolean
}

export interface BrowserPage {
  /** Addresses asked for, since it was opened. */
  readonly requested: string[]
  /** Errors and warnings of the page and its console. */
  readonly complaints: string[]
  look(look: Partial<PageLook>): Promise<void>
  /** Resolves when the document is there. */
  open(url: string): Promise<void>
  /** What an expression of the page's own is worth, as JSON can tell it. Promises are waited for. */
  run<T = unknown>(expression: string): Promise<T>
  /** Until the expression is true. */
  until(expression: string, deadlineMs?: number): Promise<void>
  key(name: string): Promise<void>
  /** PNG; the whole page or what a person sees of it. */
  picture(part?: 'page' | 'window'): Promise<Buffer>
  close(): Promise<void>
}

export interface Browser {
  page(look?: Partial<PageLook>): Promise<BrowserPage>
  close(): Promise<void>
}

export async function openBrowser(): Promise<Browser> {
  if (!chromium) throw new Error(NO_CHROMIUM)
  const profile = await mkdtemp(path.join(tmpdir(), 'fieldline-chromium-'))
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  const child = spawn(
    chromium,
    [...flags, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'] }
  )
  const gone = once(child, 'exit')
  const address = await new Promise<string>((resolve, reject) => {
    let told = ''
    child.stderr.on('data', chunk => {
      told += chunk
      const found = /DevTools listening on (ws:\S+)/.exec(told)
      if (found) resolve(found[1])
    })
    void gone.then(() => reject(new Error(`Chromium ended: ${told}`)))
  })
  const link = await DevTools.connect(address)
  return {
    page: look => openPage(link, look),
    close: async () => {
      link.close()
      child.kill()
      await gone
      await rm(profile, { recursive: true, force: true, maxRetries: 5 })
    }
  }
}

const LOOK: PageLook = { width: 1280, height: 800, scheme: 'light', still: false }
/** Narrower ones are held in a hand. */
const PHONE_WIDTH_MAX = 600
const KEY_CODES: Readonly<Record<string, number>> = {
  Tab: 9,
  Enter: 13,
  ArrowLeft: 37,
  ArrowRight: 39
}

async function openPage(link: DevTools, first: Partial<PageLook> = {}): Promise<BrowserPage> {
  const { targetId } = await link.ask('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await link.ask('Target.attachToTarget', { targetId, flatten: true })
  const ask = (method: string, params: object = {}) => link.ask(method, params, sessionId)
  const requested: string[] = []
  const complaints: string[] = []
  let onLoaded = () => {}
  link.hear(sessionId, (method, params) => {
    if (method === 'Network.requestWillBeSent') requested.push(params.request.url)
    else if (method === 'Runtime.exceptionThrown') {
      const { exception, text } = params.exceptionDetails
      complaints.push(exception?.description ?? text)
    } else if (method === 'Runtime.consoleAPICalled') {
      complaints.push(params.args.map((arg: { value: unknown }) => arg.value).join(' '))
    } else if (method === 'Log.entryAdded')
      complaints.push(`${params.entry.text} ${params.entry.url}`)
    else if (method === 'Page.loadEventFired') onLoaded()
  })
  for (const domain of ['Page', 'Runtime', 'Log', 'Network']) await ask(`${domain}.enable`)
  let shown = LOOK
  const page: BrowserPage = {
    requested,
    complaints,
    look: async look => {
      shown = { ...shown, ...look }
      const { width, height, scheme, still } = shown
      const mobile = width < PHONE_WIDTH_MAX
      const size = { width, height, deviceScaleFactor: mobile ? 2 : 1, mobile }
      await ask('Emulation.setDeviceMetricsOverride', size)
      const motion = still ? 'reduce' : 'no-preference'
      const features = [
        { name: 'prefers-color-scheme', value: scheme },
        { name: 'prefers-reduced-motion', value: motion }
      ]
      await ask('Emulation.setEmulatedMedia', { features })
    },
    open: async url => {
      const loaded = new Promise<void>(resolve => {
        onLoaded = resolve
      })
      const { errorText } = await ask('Page.navigate', { url })
      if (errorText) throw new Error(`${url}: ${errorText}`)
      await loaded
    },
    run: async expression => {
      const options = { expression, awaitPromise: true, returnByValue: true }
      const { result, exceptionDetails } = await ask('Runtime.evaluate', options)
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression)
      return result.value
    },
    until: async (expression, deadlineMs = 20_000) => {
      const endAt = performance.now() + deadlineMs
      let fault: unknown
      // Asked again and again from here: a page that is being left answers nothing.
      while (performance.now() < endAt) {
        try {
          if (await page.run(expression)) return
          fault = undefined
        } catch (error) {
          fault = error
        }
        await pause(50)
      }
      if (fault !== undefined) throw fault
      const seen = await page.run<string>('document.body.innerText.slice(0, 1500)')
      throw new Error(`never true: ${expression}\nThe page says:\n${seen}`)
    },
    key: async name => {
      const key = { key: name, code: name, windowsVirtualKeyCode: KEY_CODES[name] }
      const typed = name === 'Enter' ? { text: '\r' } : {}
      await ask('Input.dispatchKeyEvent', { type: 'keyDown', ...key, ...typed })
      await ask('Input.dispatchKeyEvent', { type: 'keyUp', ...key })
    },
    picture: async (part = 'page') => {
      const { cssContentSize } = await ask('Page.getLayoutMetrics')
      const clip = { x: 0, y: 0, width: shown.width, height: cssContentSize.height, scale: 1 }
      const whole = part === 'page' ? { captureBeyondViewport: true, clip } : {}
      const { data } = await ask('Page.captureScreenshot', { format: 'png', ...whole })
      return Buffer.from(data, 'base64')
    },
    close: async () => {
      await link.ask('Target.closeTarget', { targetId })
    }
  }
  await page.look(first)
  return page
}

// biome-ignore lint/suspicious/noExplicitAny: the protocol has a shape for each of its methods.
type Params = any

/** The browser's end of the DevTools protocol; all pages share one connection. */
class DevTools {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (answer: Params) => void>()
  readonly #ears = new Map<string, (method: string, params: Params) => void>()
  #asked = 0

  static async connect(address: string): Promise<DevTools> {
    const socket = new WebSocket(address)
    await once(socket, 'open')
    return new DevTools(socket)
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', data => this.#take(data))
  }

  hear(sessionId: string, ear: (method: string, params: Params) => void): void {
    this.#ears.set(sessionId, ear)
  }

  async ask(method: string, params: object = {}, sessionId?: string): Promise<Params> {
    const id = ++this.#asked
    const answer = await new Promise<Params>(resolve => {
      this.#waiting.set(id, resolve)
      this.#socket.send(JSON.stringify({ id, method, params, ...(sessionId ? { sessionId } : {}) }))
    })
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`)
    return answer.result
  }

  close(): void {
    this.#socket.terminate()
  }

  #take(data: RawData): void {
    const said = JSON.parse(String(data))
    if (said.id === undefined) {
      this.#ears.get(said.sessionId)?.(said.method, said.params)
      return
    }
    this.#waiting.get(said.id)?.(said)
    this.#waiting.delete(said.id)
  }
}
