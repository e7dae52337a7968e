/**
 * Runs in the reader's browser: listens, and writes what it hears as text. Nothing of a device's is
 * ever read as markup: elements are made, text is set.
 */
export const SCRIPT_PAGE = String.raw`
const $ = id => document.getElementById(id)
const el = (name, attributes, ...children) => {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value)
  made.append(...children)
  return made
}
const text = (node, value) => { if (node.textContent !== value) node.textContent = value }
// Names come from strangers: what would not be seen, or would turn the line round, is shown as what it
// is; one that is written from right to left keeps to itself (UAX 9: FSI … PDI).
const clean = name => {
  const seen = String(name).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD')
  return /[\u0590-\u08FF\uFB1D-\uFDFF\uFE70-\uFEFF]|[\u{10800}-\u{10FFF}\u{1E800}-\u{1EFFF}]/u.test(seen) ? '\u2068' + seen + '\u2069' : seen
}
const number = (n, digits) => n.toLocaleString('en-US', { maximumFractionDigits: digits || 0 })
const rate = n => number(n, n < 10 ? 1 : 0)
const value = n => {
  if (n === null || n === undefined) return '–'
  const size = Math.abs(n)
  return size !== 0 && (size >= 1e7 || size < 1e-4) ? n.toExponential(2) : String(Number(n.toPrecision(5)))
}
const bytes = n => {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  while (n >= 1023.95 && unit < 4) { n /= 1024; unit++ }
  return n.toFixed(unit === 0 || n >= 99.95 ? 0 : 1) + ' ' + units[unit]
}
const duration = ms => {
  const s = Math.max(0, Math.round(ms / 1000))
  if (s < 60) return s + ' s'
  if (s < 3600) return Math.floor(s / 60) + ' min' + (s < 600 && s % 60 ? ' ' + (s % 60) + ' s' : '')
  if (s < 86400) return Math.floor(s / 3600) + ' h' + (s % 3600 >= 60 ? ' ' + Math.floor((s % 3600) / 60) + ' min' : '')
  return Math.floor(s / 86400) + ' d' + (s % 86400 >= 3600 ? ' ' + Math.floor((s % 86400) / 3600) + ' h' : '')
}
const plural = (n, noun) => number(n) + ' ' + noun + (n === 1 ? '' : 's')
/** The agent's clock, as it was told last; the reader's may be wrong. */
let skewMs = 0
const now = () => Date.now() + skewMs
const ago = at => { const ms = now() - at; return ms < 1500 ? 'now' : duration(ms) + ' ago' }
const sign = severity => el('i', { class: 'sign ' + severity, role: 'img', 'aria-label': severity })

/** Makes a list agree with items and keeps the elements it has: focus and scroll stay. */
const rows = (parent, items, keyOf, make, update) => {
  const known = new Map([...parent.children].map(child => [child.dataset.key, child]))
  items.forEach((item, i) => {
    const key = keyOf(item)
    const row = known.get(key) || make(item)
    row.dataset.key = key
    known.delete(key)
    update(row, item)
    if (parent.children[i] !== row) parent.insertBefore(row, parent.children[i] || null)
  })
  for (const row of known.values()) row.remove()
}

const lines = (parent, words) => rows(parent, words.map((line, i) => [i, line]), ([i]) => String(i),
  () => el('span', { class: 'line' }), (row, [, line]) => text(row, line))

const WORDS = { streaming: 'streaming', buffering: 'away: buffering on disk', draining: 'back: draining', full: 'away, and the disk is full', parked: 'parked: a person must act' }
const LEVELS = { ok: 'All is well: ', info: 'For your information: ', warning: 'Warning: ', critical: 'Critical: ', lost: 'Not known: ' }
let agent
const showVerdict = ({ level, title, text: words, todo }) => {
  const box = $('verdict')
  if (box.className !== 'verdict ' + level) box.className = 'verdict ' + level
  text($('level'), level === 'ok' ? '' : LEVELS[level])
  text($('title'), clean(title))
  text($('text'), clean(words))
  $('todo').hidden = !todo
  text($('todo'), clean(todo || ''))
  $('main').classList.toggle('stale', level === 'lost')
  document.title = (level === 'ok' || level === 'info' ? '' : '! ') + clean(title) + ' · Fieldline'
}
const showFlow = a => {
  const sources = []
  if (a.mqtt) {
    const doors = a.mqtt.listeners.length > 1 ? a.mqtt.listeners : [a.mqtt.address]
    sources.push(plural(a.mqtt.clients, 'client') + ' at ' + clean(doors[0]), ...doors.slice(1).map(door => 'and ' + clean(door)))
  }
  for (const u of a.upstreams) sources.push('upstream ' + clean(u.name) + ': ' + u.state)
  text($('in-rate'), rate(a.in.perS))
  lines($('in-more'), [...sources, number(a.in.total) + ' stored since start'])
  text($('disk-records'), number(a.disk.records))
  text($('disk-more'), a.disk.records === 0 ? 'nothing waits' : a.disk.ageMs < 1500 ? 'in passing' : bytes(a.disk.waitingBytes) + ', the oldest for ' + duration(a.disk.ageMs))
  const share = Math.min(1, a.disk.bytes / a.disk.bytesMax)
  $('gauge').className = 'gauge' + (share > .95 ? ' brim' : share > .75 ? ' high' : '')
  $('gauge').firstChild.style.transform = 'scaleX(' + Math.max(share, .004) + ')'
  text($('disk-use'), bytes(a.disk.bytes) + ' of ' + bytes(a.disk.bytesMax) + ' used')
  text($('out-rate'), rate(a.out.perS))
  const eta = a.mode !== 'draining' ? '' : a.out.etaSeconds === null ? ' · backlog does not shrink'
    : ' · done in ' + duration(a.out.etaSeconds * 1000)
  lines($('out-more'), [WORDS[a.mode] + eta, number(a.out.total) + ' delivered since start', 'at ' + a.kafka.map(clean).join(', ')])
  const away = a.mode === 'buffering' || a.mode === 'full' || a.mode === 'parked'
  $('pipe-in').setAttribute('class', 'pipe' + (a.in.perS > 0 ? ' flows' : ''))
  $('pipe-out').setAttribute('class', 'pipe' + (away ? ' broken' : a.out.perS > 0 ? ' flows' : ''))
}
const showFacts = a => {
  rows($('facts'), a.notes, n => n.level + n.text.replace(/[0-9,.]+/g, '#'), ({ level }) =>
    el('li', { class: level }, sign(level), el('span')), (row, note) => text(row.lastChild, clean(note.text)))
}
const showBegin = a => {
  const isEmpty = a.in.total === 0 && a.out.total === 0 && a.series === 0
  $('begin').hidden = !isEmpty
  if (isEmpty) {
    const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(a.mqtt ? a.mqtt.address : '') || ['', '127.0.0.1', '1883']
    const name = host === '0.0.0.0' || host === '::' ? location.hostname : host
    text($('begin-pub'), 'mosquitto_pub -h ' + name + ' -p ' + port + " -q 1 -t telemetry/plant7/pump-3 -m '{\"temperature\":61.8,\"pressure\":4.2}'")
    text($('begin-sim'), 'npx fieldline sim --mqtt ' + (name.includes(':') ? '[' + name + ']' : name) + ':' + port + ' --devices 20')
  }
  for (const id of ['alerts', 'chart', 'devices']) if (isEmpty || a.detector === 'off') $(id).hidden = true
  $('undetected').hidden = isEmpty || a.detector === 'on'
  text($('undetected'), a.detector === 'off'
    ? 'Nothing is detected on this box: alerts, devices and charts are with the central detector.'
    : 'The detector is busy or being started; alerts, devices and charts come back by themselves.')
}
const hear = {
  agent(a) {
    agent = a
    skewMs = a.at - Date.now()
    text($('agent'), clean(a.agentId))
    text($('about'), 'version ' + a.version + ' · up for ' + duration(a.uptimeMs))
    showVerdict(a.verdict)
    showFlow(a)
    showFacts(a)
    showBegin(a)
    const learning = a.seriesLearning > 0 ? ', ' + number(a.seriesLearning) + ' still learning' : ''
    text($('foot'), a.detector === 'on' ? plural(a.series, 'series').replace('seriess', 'series') + ' watched' + learning + '.' : '')
  }
}
`
