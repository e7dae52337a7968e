import vm from 'node:vm'
import { expect, test } from 'vitest'
import { AgentViews } from '../../../cli/agent-view/agent-view.ts'
import { dashboard, SCRIPT } from '../../../cli/dashboard/dashboard.ts'
import { loginPage, PAGE } from '../../../cli/dashboard/page.ts'
import { STYLE } from '../../../cli/dashboard/style.ts'

const parts = dashboard({
  status: () => {
    throw new Error('a page asks for no status')
  },
  look: async () => undefined,
  views: new AgentViews({ kafka: [], overflow: 'drop_oldest', detects: true })
})

test('every address in the page is a page of ours', () => {
  for (const page of [PAGE, loginPage(false), loginPage(true)]) {
    const addresses = [...page.matchAll(/(?:href|src|action)="([^"]*)"/g)].map(([, to]) => to)
    expect(addresses.length).toBeGreaterThan(1)
    const ours = [...Object.keys(parts.pages), '/status', '/metrics', '/login']
    for (const address of addresses) expect(ours).toContain(`/${address}`)
  }
})

test('nothing refers to another origin', async () => {
  for (const [path, page] of Object.entries(parts.pages)) {
    const { body } = await page()
    const namespace = 'http://www.w3.org/2000/svg'
    const found = body
      .replaceAll(namespace, '')
      .match(/(?:https?|wss?):\/\/[^\s"'`)]*|url\(|@import/g)
    // uPlot's licence line.
    const licence = path === '/uplot.js' ? ['https://github.com/leeoniya/uPlot'] : []
    expect((found ?? []).filter(address => !licence.some(l => address.startsWith(l)))).toEqual([])
  }
})

test('nothing is inline, so the policy needs no exception', () => {
  for (const page of [PAGE, loginPage(true)]) {
    expect(page).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:/i)
  }
})

test('the script reads nothing as markup or code', () => {
  expect(SCRIPT).not.toMatch(
    /innerHTML|outerHTML|insertAdjacent|document\.write|createContextualFragment|\beval\b|new Function|srcdoc/
  )
  expect(() => new vm.Script(SCRIPT)).not.toThrow()
})

test('the script finds every element that it looks for', () => {
  const wanted = [...SCRIPT.matchAll(/\$\('([a-z-]+)'\)/g)].map(([, id]) => id)
  expect(wanted.length).toBeGreaterThan(30)
  for (const id of wanted) expect(PAGE).toContain(`id="${id}"`)
})

test('colours are told by words and shapes too, motion can be declined', () => {
  expect(STYLE).toContain('prefers-reduced-motion: reduce')
  expect(STYLE).toContain('prefers-color-scheme: dark')
  for (const level of ['ok', 'warning', 'critical']) {
    expect(STYLE).toMatch(new RegExp(`\\.${level} \\.light::before \\{[^}]*clip-path`))
  }
})

test('without the token only the look of the form is to be had', () => {
  expect(parts.openPages).toEqual(['/dashboard.css', '/icon.svg'])
})
