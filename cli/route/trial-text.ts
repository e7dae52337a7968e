import { count, timeText } from '../log/text.ts'
import { payloadLine } from '../payload-text.ts'
import type { Trial, TrialBranch } from './trial.ts'

const VALUE_BYTES_MAX = 400
const READINGS_MAX = 20

/** A trial for a person: the message, then a paragraph a route. */
export function trialText(trial: Trial, payload: Buffer): string {
  const head = `${payloadLine(Buffer.from(trial.topic), 1024)}  ${payloadLine(payload, 80)}`
  const paragraphs = trial.refused
    ? [[`  refused    ${trial.refused}`]]
    : trial.branches.map(branchLines)
  const hint = trial.hint ? [`  nearest    ${trial.hint}`] : []
  return [head, ...paragraphs.flat(), ...hint].join('\n')
}

function branchLines(branch: TrialBranch): string[] {
  switch (branch.outcome) {
    case 'dropped':
      return [`  dropped    by route '${branch.route}'; routes below it do not see the message`]
    case 'sampled_out':
      return [`  left out   by the sample of route '${branch.route}'`]
    case 'dead_letter':
      return [
        `  DEAD LETTER ${branch.route ? `of route '${branch.route}'` : ''}`.trimEnd(),
        ...fields({
          why: `${branch.stage}, ${branch.reason}: ${payloadLine(Buffer.from(branch.detail), 600)}`,
          topic: branch.topic,
          key: branch.key
        })
      ]
    case 'delivered':
      return deliveredLines(branch)
  }
}

function deliveredLines(branch: Extract<TrialBranch, { outcome: 'delivered' }>): string[] {
  const { value, readings, undecoded, share } = branch
  const bytes = Buffer.from(value.payload, value.payloadEncoding ?? 'utf8')
  const more = readings.length - READINGS_MAX
  const lines = readings
    .slice(0, READINGS_MAX)
    .map(reading => `${reading.series} = ${reading.value}`)
  if (more > 0) lines.push(`and ${more} more`)
  if (lines.length === 0) lines.push(undecoded ? `none, ${undecoded}` : 'none')
  return [
    `  delivered  by route '${branch.route}'`,
    ...fields({
      topic: branch.topic,
      key: branch.key,
      time: `${timeText(branch.timestampMs, true)} UTC`,
      headers: Object.entries(branch.headers).map(([name, text]) => `${name}: ${text}`),
      value: `${payloadLine(bytes, VALUE_BYTES_MAX)} (${count(bytes.length, 'byte')})`,
      readings: lines,
      ...(share === undefined ? {} : { sample: `only ${share * 100} % are kept, by fl-id` })
    })
  ]
}

/** One line each, values under each other; strangers' text cannot move the cursor. */
function fields(named: Record<string, string | string[]>): string[] {
  return Object.entries(named).flatMap(([name, value]) =>
    [value].flat().map((text, at) => {
      const safe = payloadLine(Buffer.from(text), 4096)
      return `    ${(at === 0 ? name : '').padEnd(9)}${safe}`
    })
  )
}
