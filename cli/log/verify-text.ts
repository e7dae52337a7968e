import path from 'node:path'
import type { OffsetRange } from '../../core/log/losses.ts'
import type { RepairAction, RepairReport, RepairStep } from '../../core/log/repair.ts'
import type { Finding, VerifyReport } from '../../core/log/verify.ts'
import type { LogPlace } from './places.ts'
import { bytesText, count } from './text.ts'

/** Of the listed findings; scripts get them all. */
const LINES_MAX = 200

export function verifyText({ lane }: LogPlace, report: VerifyReport): string {
  const { directory, defects, notes, totals, sound } = report
  const lines = [`${lane}  ${directory}`]
  for (const defect of defects.slice(0, LINES_MAX)) {
    lines.push(`  DEFECT  ${placeOf(directory, defect)}`)
    lines.push(`          ${detailOf(defect)}`)
  }
  if (totals.defects > LINES_MAX) lines.push(`  … and ${totals.defects - LINES_MAX} more`)
  for (const note of notes.slice(0, LINES_MAX)) {
    lines.push(`  note    ${placeOf(directory, note)}`)
    lines.push(`          ${detailOf(note)}`)
  }
  const { records, segments, bytes, badBytes, lostRecords, inFlightBytes } = totals
  const read = `${count(records, 'record')} in ${count(segments, 'segment')}, ${bytesText(bytes)} read`
  const flight = inFlightBytes > 0 ? `; ${bytesText(inFlightBytes)} in flight` : ''
  const verdict = sound
    ? 'sound'
    : `${count(totals.defects, 'defect')}: ${bytesText(badBytes)} of bad bytes, ${count(lostRecords, 'record')} lost`
  lines.push(`  ${read}${flight}: ${verdict}`)
  return lines.join('\n')
}

export function repairText({ lane }: LogPlace, report: RepairReport): string {
  const { directory, steps, dryRun, setAside, before, after } = report
  const lines = [`${lane}  ${directory}`]
  if (steps.length === 0) return `${lines[0]}\n  sound: nothing to repair`
  for (const step of steps.slice(0, LINES_MAX)) {
    lines.push(`  ${dryRun ? 'would' : 'did'}  ${stepText(directory, step)}`)
  }
  if (before.totals.defects > LINES_MAX) {
    lines.push(`  … and ${before.totals.defects - LINES_MAX} more`)
  }
  for (const name of setAside) lines.push(`  kept ${path.join(directory, name)}`)
  const records = count(after.totals.records, 'record')
  if (dryRun) lines.push(`  ${records} would stay where they are; nothing was changed`)
  else if (after.sound) lines.push(`  repaired: sound now, ${records} stand where they stood`)
  else lines.push(`  ${count(after.totals.defects, 'defect')} left: run the repair again`)
  return lines.join('\n')
}

const ACTIONS: Record<RepairAction, string> = {
  mend_header: "write the header's bad copy anew from the good one",
  set_bytes_aside: 'copy bad bytes to the quarantine, write the segment anew without them',
  cut_tail: 'copy the torn end to the quarantine and cut it',
  set_file_aside: 'move the file to the quarantine',
  note_loss: 'write down that records are gone'
}

function stepText(directory: string, step: RepairStep): string {
  const bytes = step.bytes === undefined ? '' : ` (${bytesText(step.bytes)})`
  const lost = step.lost ? `; ${lostText(step.lost)}` : ''
  return `${ACTIONS[step.action]}: ${placeOf(directory, step)}${bytes}${lost}`
}

/** `file:position`, as editors and compilers write it. */
export function placeOf(directory: string, at: { file: string; position?: number }): string {
  const file = path.join(directory, at.file)
  return at.position === undefined ? file : `${file}:${at.position}`
}

function detailOf({ bytes, lost, message }: Finding<string>): string {
  const size = bytes === undefined ? '' : `${bytesText(bytes)}: `
  return `${size}${message}${lost ? `; ${lostText(lost)}` : ''}`
}

export function lostText({ first, end }: OffsetRange): string {
  if (end === first + 1) return `lost: record ${first}`
  return `lost: records ${first} to ${end - 1} (${(end - first).toLocaleString('en-US')})`
}
