/** The chart (uPlot), and the line to the agent. */
export const SCRIPT_CHART = `
let chosen
let series = null
let points = new Map()
let plot
const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const faded = (name, alpha) => 'color-mix(in srgb, ' + color(name) + ' ' + 100 * alpha + '%, transparent)'
const POINTS_MAX = 600
const clock = at => new Date(at).toLocaleTimeString('en-GB')
/** All values with some air, and as much of the expected range as does not flatten them. */
const yRange = u => {
  let low = Infinity, high = -Infinity, bandLow = Infinity, bandHigh = -Infinity
  for (let i = 0; i < u.data[0].length; i++) {
    const v = u.data[1][i]
    if (v === null || v === undefined) continue
    low = Math.min(low, v); high = Math.max(high, v)
    if (u.data[2][i] !== null) { bandLow = Math.min(bandLow, u.data[2][i]); bandHigh = Math.max(bandHigh, u.data[3][i]) }
  }
  if (low > high) return [0, 1]
  const range = high - low || Math.abs(high) * .1 || 1
  const air = range * .08
  return [Math.max(Math.min(bandLow, low), low - .6 * range) - air, Math.min(Math.max(bandHigh, high), high + .6 * range) + air]
}
const concerning = () => {
  if (!alerts || !series) return []
  const { site, device, metric } = series.name
  return [...alerts.shown, ...alerts.cleared].filter(a => a.site === site && a.device === device
    && (a.metric === metric || (a.metric === '-' && (a.kind === 'silent' || a.contributions.some(c => c.metric === metric)))))
}
const drawAlerts = u => {
  const { ctx, bbox } = u
  ctx.save()
  ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip()
  for (const a of concerning()) {
    const from = u.valToPos(Date.parse(a.startedAt) / 1000, 'x', true)
    const to = a.clearedAt ? u.valToPos(Date.parse(a.clearedAt) / 1000, 'x', true) : bbox.left + bbox.width
    ctx.fillStyle = faded('--' + a.severity, .16)
    ctx.fillRect(from, bbox.top, Math.max(2, to - from), bbox.height)
    ctx.fillStyle = color('--' + a.severity)
    ctx.fillRect(from, bbox.top, 2 * devicePixelRatio, bbox.height)
  }
  ctx.restore()
}
const drawSurprises = u => {
  const { ctx } = u
  const size = 5 * devicePixelRatio
  ctx.save()
  ctx.fillStyle = color('--critical'); ctx.strokeStyle = color('--card'); ctx.lineWidth = devicePixelRatio
  for (let i = 0; i < u.data[0].length; i++) {
    if (!(u.data[4][i] >= .8)) continue
    const x = u.valToPos(u.data[0][i], 'x', true), y = u.valToPos(u.data[1][i], 'y', true)
    ctx.beginPath(); ctx.moveTo(x, y - size); ctx.lineTo(x + size, y + size * .8); ctx.lineTo(x - size, y + size * .8); ctx.closePath()
    ctx.fill(); ctx.stroke()
  }
  ctx.restore()
}
const readOut = i => {
  const d = plot && plot.data
  const n = d ? d[0].length : 0
  if (n === 0) { text($('readout'), 'No values yet: they come with the next readings.'); return }
  if (i === null || i === undefined) i = n - 1
  if (d[1][i] === null) return
  const part = (name, what) => el('span', {}, name + ' ', el('b', {}, what))
  $('readout').replaceChildren(part('', clock(d[0][i] * 1000)), part('value', value(d[1][i])),
    part('expected', d[2][i] === null ? 'still learning' : value(d[2][i]) + ' to ' + value(d[3][i])), part('score', d[4][i].toFixed(2)))
}
const makePlot = () => {
  if (plot) plot.destroy()
  const axis = { stroke: color('--muted'), font: '12px system-ui, sans-serif', grid: { stroke: color('--grid'), width: 1 }, ticks: { show: false } }
  plot = new uPlot({
    width: $('plot').clientWidth, height: $('plot').clientHeight, legend: { show: false }, padding: [8, 26, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: true }, y: { range: u => yRange(u) } },
    axes: [{ ...axis, values: (u, splits) => splits.map(s => splits.length > 1 && splits[1] - splits[0] < 60 ? clock(s * 1000) : clock(s * 1000).slice(0, 5)), space: 80, size: 28 },
      { ...axis, size: 54, values: (u, splits) => splits.map(value) }],
    series: [{}, { stroke: color('--value'), width: 1.7, points: { show: u => u.data[0].length < 40, size: 4, fill: color('--value') } },
      { stroke: 'transparent', width: 0, points: { show: false } }, { stroke: 'transparent', width: 0, points: { show: false } }],
    bands: [{ series: [3, 2], fill: faded('--band', Number(color('--band-alpha'))) }],
    hooks: { drawClear: [drawAlerts], draw: [drawSurprises], setCursor: [u => readOut(u.cursor.idx)] }
  }, dataOf(), $('plot'))
}
/** uPlot's columns; a pause of eight usual steps breaks the line. */
const dataOf = () => {
  const all = [...points.values()].sort((a, b) => a[0] - b[0])
  const steps = all.slice(1).map((p, i) => p[0] - all[i][0]).sort((a, b) => a - b)
  const gap = 8 * Math.max(1000, steps[steps.length >> 1] || 0)
  const data = [[], [], [], [], []]
  all.forEach((p, i) => {
    if (i > 0 && p[0] - all[i - 1][0] > gap) [(p[0] + all[i - 1][0]) / 2000, null, null, null, null].forEach((v, k) => data[k].push(v))
    p.forEach((v, k) => data[k].push(k === 0 ? v / 1000 : v))
  })
  return data
}
const redraw = () => {
  if (!series || $('chart').hidden) return
  if (!plot) makePlot()
  else plot.setData(dataOf())
  if (plot.cursor.idx === null || plot.cursor.idx === undefined) readOut()
  $('plot').setAttribute('aria-label', 'Chart of ' + clean(series.name.device) + ', ' + clean(series.name.metric) + ': ' + $('readout').textContent)
}
hear.series = s => {
  if (s && (!series || JSON.stringify(s.name) !== JSON.stringify(series.name))) points = new Map()
  series = s
  $('chart').hidden = !s
  if (!s) return
  for (const p of s.points) {
    // One point a second: a more surprising one replaces it.
    points.set(Math.floor(p[0] / 1000), p)
  }
  for (const key of points.keys()) { if (points.size <= POINTS_MAX) break; points.delete(key) }
  text($('chart-name'), clean(s.name.site) + '/' + clean(s.name.device))
  rows($('metrics'), s.metrics, m => m, m => {
    const chip = el('button', { type: 'button' }, clean(m))
    chip.addEventListener('click', () => choose({ ...series.name, metric: m }))
    return chip
  }, (chip, m) => chip.setAttribute('aria-pressed', String(m === s.name.metric)))
  redraw()
}
const choose = (name, jump) => {
  chosen = name
  listen()
  if (jump) $('chart').scrollIntoView({ block: 'nearest', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' })
}
$('plot').addEventListener('keydown', event => {
  const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key]
  if (step === undefined || !plot || plot.data[0].length === 0) return
  event.preventDefault()
  const last = plot.data[0].length - 1
  const at = plot.cursor.idx === null || plot.cursor.idx === undefined ? last : plot.cursor.idx
  const i = Math.max(0, Math.min(last, at + step))
  plot.setCursor({ left: plot.valToPos(plot.data[0][i], 'x'), top: 10 })
})
$('plot').addEventListener('blur', () => plot && plot.setCursor({ left: -10, top: -10 }))
new ResizeObserver(() => { if (plot && $('plot').clientWidth > 0) plot.setSize({ width: $('plot').clientWidth, height: $('plot').clientHeight }) }).observe($('plot'))
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plot && makePlot())

let source
let heardAt = Date.now()
let retry
const listen = () => {
  clearTimeout(retry)
  if (source) source.close()
  const query = new URLSearchParams(chosen || (series ? series.name : {}))
  if ($('find').value.trim()) query.set('find', $('find').value.trim())
  source = new EventSource('events?' + query)
  for (const name of Object.keys(hear)) {
    source.addEventListener(name, event => { heardAt = Date.now(); hear[name](JSON.parse(event.data)) })
  }
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) retry = setTimeout(askWhy, 1000) }
}
const STOPPED = 'Tried again by itself. Look whether its process runs, for example with: systemctl status fieldline-agent'
const lost = (words, todo) => showVerdict({ level: 'lost', title: 'No word from the agent', text: words, todo })
/** What a stream that was refused does not tell. */
const askWhy = async () => {
  try {
    const answer = await fetch('status')
    if (answer.status === 401) return location.reload()
    lost('It runs, and tells no more: too many dashboards are open. Tried again by itself.')
  } catch {
    lost('It does not answer. What is below is ' + duration(Date.now() - heardAt) + ' old.', STOPPED)
  }
  retry = setTimeout(listen, 4000)
}
setInterval(() => {
  if (Date.now() - heardAt > 5000) lost('What is below is ' + duration(Date.now() - heardAt) + ' old.', STOPPED)
  else if (alerts && devices) {
    for (const row of document.querySelectorAll('.alert')) tellAlert(row, row.alert)
    for (const row of $('devices-rows').children) tellDevice(row, row.device)
  }
}, 1000)
document.addEventListener('visibilitychange', () => {
  // A page that nobody sees asks for nothing.
  if (document.hidden) { source.close(); clearTimeout(retry) } else { heardAt = Date.now(); listen() }
})
listen()
`
