import type { DevicesLook, DeviceView } from '../../agent/devices/device-registry.ts'
import { deviceKey } from '../../core/contract/topics.ts'
import { count, durationText, printable, table, timeText } from '../log/text.ts'
import { type Paint, thousands } from '../terminal/text.ts'

const COLUMNS = [
  { title: 'device' },
  { title: 'last heard', right: true },
  { title: 'rate', right: true },
  { title: 'messages', right: true },
  ...[{ title: 'client' }, { title: 'first seen (UTC)' }, { title: 'last values' }]
]
const VALUES_SHOWN = 3
const NAME_MAX = 60
/** Who spoke within it before the last word, speaks now; who did earlier, has been replaced. */
const AT_ONCE_MS = 600_000

/** The table; what there is to say is below an empty line. */
export function devicesText(look: DevicesLook, paint: Paint): string[] {
  const { known, forgotten, matching, shown, devicesMax, at } = look
  const lines: string[] = []
  if (shown.length > 0) {
    const rows = shown.map(device => cellsOf(device, at, paint))
    const [head, ...body] = table(COLUMNS, rows)
    lines.push(paint.dim(head), ...body)
  }
  lines.push('')
  const which = matching === known ? '' : `, ${thousands(matching)} of them as asked for`
  const cutOff = shown.length < matching ? `; the first ${thousands(shown.length)} are shown` : ''
  lines.push(
    known === 0
      ? 'No device is known yet: one is from its first message on that a route wants.'
      : `${count(known, 'device')} known${which}${cutOff}.`
  )
  const contested = shown.filter(device => clientsNow(device).length > 1).length
  if (contested > 0) {
    const text = `Several clients speak for one device (${count(contested, 'device')} of these): a name that is given twice?`
    lines.push(paint.yellow(text))
  }
  if (forgotten > 0) {
    const text = `${count(forgotten, 'device')} made room for others: agent.devices_max is ${thousands(devicesMax)}.`
    lines.push(paint.yellow(text))
  }
  return lines
}

/** Clients that speak for it in turn. */
export function clientsNow({ clients, lastSeenAt }: DeviceView): DeviceView['clients'] {
  return clients.filter(client => lastSeenAt - client.lastSeenAt < AT_ONCE_MS)
}

/** `12/s`, `3.4/min`, `2/h` */
export function rateText(perSecond: number): string {
  for (const [seconds, unit] of [
    [1, 's'],
    [60, 'min'],
    [3600, 'h']
  ] as const) {
    const rate = perSecond * seconds
    if (rate >= 0.995) return `${rate >= 9.95 ? thousands(rate) : Number(rate.toFixed(1))}/${unit}`
  }
  return '-'
}

function cellsOf(device: DeviceView, now: number, paint: Paint): string[] {
  const { site, lastSeenAt, firstSeenAt, messages, rate, values, moreValues } = device
  const told = values.slice(0, VALUES_SHOWN).map(({ metric, value, unit }) => {
    const number = Number(value.toPrecision(6))
    return `${short(metric)} ${number}${unit === undefined ? '' : ` ${short(unit)}`}`
  })
  const rest = values.length - told.length
  const more = rest > 0 || moreValues ? `, +${rest}${moreValues ? ' and more' : ''}` : ''
  return [
    short(deviceKey(site, device.device)),
    `${durationText(now - lastSeenAt)} ago`,
    rateText(rate),
    thousands(messages),
    clientText(device, paint),
    timeText(firstSeenAt).slice(0, 16),
    told.join(', ') + more
  ]
}

function clientText(device: DeviceView, paint: Paint): string {
  const [{ id, upstream }] = device.clients
  const name = `${upstream ? 'upstream ' : ''}${id === '' ? '-' : short(id)}`
  const others = clientsNow(device).length - 1
  return others > 0 ? paint.yellow(`${name} +${others}`) : name
}

function short(text: string): string {
  const safe = printable(text)
  return safe.length <= NAME_MAX ? safe : `${safe.slice(0, NAME_MAX - 1)}…`
}
