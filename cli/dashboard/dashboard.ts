import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { HttpAnswer, HttpOptions } from '../../core/runtime/http.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { DashboardFeed, type FeedOptions } from './feed.ts'
import { ICON, loginPage, PAGE } from './page.ts'
import { SCRIPT_CHART } from './script-chart.ts'
import { SCRIPT_LISTS } from './script-lists.ts'
import { SCRIPT_PAGE } from './script-page.ts'
import { STYLE } from './style.ts'

/** One scope: nothing of it can be reached by what else the page loads. */
export const SCRIPT = `'use strict';(() => {${SCRIPT_PAGE}${SCRIPT_LISTS}${SCRIPT_CHART}})()\n`

export type DashboardParts = Required<
  Pick<HttpOptions, 'pages' | 'streams' | 'openPages' | 'loginPage'>
>

/** The pages of the dashboard: `/`, what it is made of, and `/events`. */
export function dashboard(options: FeedOptions): DashboardParts {
  const feed = new DashboardFeed(options)
  const html = (body: string): HttpAnswer => ({
    status: 200,
    type: 'text/html; charset=utf-8',
    body
  })
  return {
    pages: {
      '/': () => html(PAGE),
      '/dashboard.css': () => ({ status: 200, type: 'text/css; charset=utf-8', body: STYLE }),
      '/dashboard.js': () => script(SCRIPT),
      '/uplot.css': () => ({
        ...{ status: 200, type: 'text/css; charset=utf-8' },
        body: uplotFile('uPlot.min.css')
      }),
      '/uplot.js': () => script(uplotFile('uPlot.iife.min.js')),
      '/icon.svg': () => ({ status: 200, type: 'image/svg+xml', body: ICON })
    },
    streams: { '/events': (query, stream) => feed.open(query, stream) },
    // What the form for the token looks like; it tells nothing of the agent.
    openPages: ['/dashboard.css', '/icon.svg'],
    loginPage: refused => html(loginPage(refused))
  }
}

function script(body: string): HttpAnswer {
  return { status: 200, type: 'text/javascript; charset=utf-8', body }
}

/** Read when it is asked for: an agent that nobody looks at need not hold it. */
function uplotFile(name: string): string {
  for (let directory = packageRoot(); ; directory = path.dirname(directory)) {
    const file = path.join(directory, 'node_modules/uplot/dist', name)
    if (existsSync(file)) return readFileSync(file, 'utf8')
    if (path.dirname(directory) === directory) throw new Error('uplot is not installed')
  }
}
