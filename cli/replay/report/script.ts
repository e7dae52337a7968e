/**
 * Runs in the reader's browser: a hairline that reads value, expected range and score off a chart,
 * under the pointer or by the arrow keys. Without it everything else is there.
 *
 * It holds no data: it reads back the paths that chart.ts wrote.
 */
export const SCRIPT = `
'use strict'
for (const chart of document.querySelectorAll('.chart')) {
  const plot = chart.querySelector('.plot')
  const readout = chart.querySelector('.readout')
  const hair = chart.querySelector('.hair')
  const idle = readout.textContent
  const { from, to, low, high } = chart.dataset
  const numbers = name => [...(chart.querySelector('path.' + name)?.getAttribute('d') ?? '')
    .matchAll(/([ML])(\\d+) (-?\\d+)(?:V(-?\\d+))?/g)].map(([, , x, y, v]) => [+x, +y, +(v ?? y)])
  let points
  let at = -1
  const read = () => {
    const bands = new Map()
    for (const [x, y] of numbers('band')) {
      const band = bands.get(x)
      bands.set(x, band ? [Math.min(band[0], y), Math.max(band[1], y)] : [y, y])
    }
    const scores = new Map(numbers('score').map(([x, , v]) => [x, 1 - v / 1000]))
    return numbers('value').map(([x, a, b]) => ({ x, ys: [Math.max(a, b), Math.min(a, b)],
      band: bands.get(x), score: scores.get(x) ?? 0 }))
  }
  const value = y => +high - (y / 1000) * (high - low)
  // A step of the path is a thousandth of the range.
  const digits = Math.max(0, Math.min(8, 2 - Math.floor(Math.log10(high - low))))
  const text = y => (Number(value(y).toFixed(digits)) || 0)
    .toLocaleString('en-US', { maximumFractionDigits: digits })
  const show = index => {
    points ??= read()
    at = Math.max(0, Math.min(points.length - 1, index))
    const point = points[at]
    if (!point) return
    const [least, most] = point.ys
    const when = new Date(+from + (point.x / 2000) * (to - from)).toISOString()
    const range = point.band ? text(point.band[1]) + ' to ' + text(point.band[0]) : 'still learning'
    readout.innerHTML = ''
    const part = (name, what) => {
      const item = document.createElement('span')
      const strong = document.createElement('b')
      strong.textContent = what
      item.append(name + ' ', strong)
      readout.append(item)
    }
    part('', when.slice(0, 19).replace('T', ' '))
    part('value', text(least) + (least === most ? '' : ' to ' + text(most)))
    part('expected', range)
    part('score', point.score.toFixed(2))
    hair.style.left = point.x / 20 + '%'
    hair.hidden = false
  }
  const hide = () => {
    hair.hidden = true
    readout.textContent = idle
  }
  plot.addEventListener('pointermove', event => {
    points ??= read()
    const box = plot.getBoundingClientRect()
    const x = ((event.clientX - box.left) / box.width) * 2000
    let a = 0
    let b = points.length - 1
    while (a < b) {
      const middle = (a + b) >> 1
      if (points[middle].x < x) a = middle + 1
      else b = middle
    }
    show(a > 0 && x - points[a - 1].x < points[a].x - x ? a - 1 : a)
  })
  plot.addEventListener('pointerleave', hide)
  plot.addEventListener('blur', hide)
  plot.addEventListener('keydown', event => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key]
    if (step === undefined || event.target !== plot) return
    event.preventDefault()
    show(at + step)
  })
}
`
