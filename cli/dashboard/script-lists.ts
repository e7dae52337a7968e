/** The lists: alerts and devices. A click on either shows the chart of it. */
export const SCRIPT_LISTS = `
const who = ({ site, device, metric, contributions }) => {
  if (metric === '-' && contributions && contributions.length === 1) metric = contributions[0].metric
  const name = el('span', { class: 'who' }, el('small', {}, clean(site) + '/'), clean(device))
  if (metric && metric !== '-') name.append(el('small', {}, ' · ' + clean(metric)))
  return name
}
const seriesOf = a => ({ site: a.site, device: a.device,
  metric: a.metric !== '-' ? a.metric : (a.contributions[0] || {}).metric || '-' })
const makeAlert = a => {
  const row = el('button', { class: 'alert', type: 'button' }, sign(a.severity), who(a), el('span', { class: 'when' }), el('span', { class: 'why' }))
  row.addEventListener('click', () => choose(seriesOf(row.alert), true))
  return row
}
const KINDS = { anomaly: 'Anomaly', silent: 'Silent', stuck: 'Stuck', range: 'Out of range', rate: 'Changes too fast', data_quality: 'Data quality' }
const tellAlert = (row, a) => {
  row.alert = a
  row.firstChild.className = 'sign ' + a.severity
  row.firstChild.setAttribute('aria-label', a.severity)
  const at = Date.parse(a.startedAt)
  text(row.children[2], a.clearedAt ? 'lasted ' + duration(a.durationMs || 0) + ', over ' + ago(Date.parse(a.clearedAt)) : 'since ' + duration(now() - at))
  const why = row.children[3]
  const range = a.value !== undefined && a.lower !== undefined && a.upper !== undefined
    ? '. ' + value(a.value) + (a.unit ? ' ' + clean(a.unit) : '') + ' where ' + value(a.lower) + ' to ' + value(a.upper) + ' is expected' : ''
  const others = a.metric === '-' && a.contributions.length > 1
    ? '. Metrics: ' + a.contributions.slice(0, 5).map(c => clean(c.metric) + ' ' + Math.round(100 * c.share) + ' %').join(', ') : ''
  const words = (KINDS[a.kind] || a.kind) + ', ' + a.severity
  if (why.dataset.words !== words + a.reason + range + others) {
    why.dataset.words = words + a.reason + range + others
    why.replaceChildren(el('b', {}, words), ': ' + clean(a.reason) + range + others)
  }
}
const byId = a => a.alertId
let alerts
hear.alerts = a => {
  alerts = a
  $('alerts').hidden = agent && agent.series === 0 && a.total === 0
  const hidden = a.total - a.shown.length
  text($('alerts-count'), a.total === 0 ? 'none open' : number(a.total) + ' open' + (hidden > 0 ? ', the ' + a.shown.length + ' most severe are shown' : ''))
  $('alerts-list').hidden = a.total === 0
  rows($('alerts-list'), a.shown, byId, makeAlert, tellAlert)
  $('cleared').hidden = a.cleared.length === 0
  text($('cleared').firstElementChild, plural(a.cleared.length, 'alert') + ' lately over')
  rows($('cleared-list'), a.cleared, byId, makeAlert, tellAlert)
  redraw()
}

const makeDevice = d => {
  const button = el('button', { type: 'button', title: clean(d.site) + '/' + clean(d.device) }, el('small', {}, clean(d.site) + '/'), clean(d.device))
  const row = el('tr', { class: 'row' }, el('td', {}, button), el('td', {}, el('span', { class: 'state' })), el('td'), el('td', { class: 'values' }))
  button.addEventListener('click', () => choose({ site: d.site, device: d.device, metric: (row.device.values[0] || { metric: '-' }).metric }, true))
  return row
}
const stateOf = d => {
  if (d.silent) return ['warning', 'silent']
  if (d.alerts > 0) return [d.severity, plural(d.alerts, 'alert')]
  return ['', 'fine']
}
const tellDevice = (row, d) => {
  row.device = d
  const [severity, word] = stateOf(d)
  const state = row.children[1].firstChild
  if (state.dataset.word !== severity + word) {
    state.dataset.word = severity + word
    state.className = 'state' + (severity ? '' : ' calm')
    state.replaceChildren(...(severity ? [sign(severity), el('b', {}, word)] : [word]))
  }
  row.className = 'row' + (severity ? '' : ' calm')
  lines(row.children[2], d.silent && d.usualMs >= 1000 ? [ago(d.heardAt), 'usually every ' + duration(d.usualMs)] : [ago(d.heardAt)])
  const values = row.children[3]
  rows(values, d.values, v => v.metric, v => el('span', {}, el('i', {}, clean(v.metric) + ' '), el('b')), (cell, v) => text(cell.lastChild, value(v.value)))
  const rest = d.metrics - d.values.length
  values.title = rest > 0 ? 'and ' + plural(rest, 'more metric') : ''
}
let devices
hear.devices = d => {
  devices = d
  $('devices').hidden = d.total === 0
  text($('devices-count'), number(d.total) + (d.silent > 0 ? ', ' + number(d.silent) + ' silent' : ''))
  rows($('devices-rows'), d.shown, x => x.site + '/' + x.device, makeDevice, tellDevice)
  const hidden = d.matching - d.shown.length
  $('devices-more').hidden = hidden <= 0 && d.matching > 0
  text($('devices-more'), d.matching === 0 ? 'No device is called so.' : 'and ' + number(hidden) + ' more: what needs a look comes first; find others by name.')
}
let typing
$('find').addEventListener('input', () => {
  clearTimeout(typing)
  typing = setTimeout(listen, 250)
})
`
