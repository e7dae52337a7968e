import fs from 'node:fs'
import path from 'node:path'
import { readLogFiles } from '../../core/log/log-files.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { type VerifyReport, verifyLog } from '../../core/log/verify.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { isOwned, LANES, type LogPlace, reading } from '../log/places.ts'
import { bytesText, count } from '../log/text.ts'
import { lostText, placeOf } from '../log/verify-text.ts'
import { Progress } from '../progress.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'

/** Of the defects of one log; `fieldline log verify` tells all. */
const DEFECTS_MAX = 5

/**
 * Both logs as `fieldline log verify` sees them: no lock is held, nothing is changed.
 *
 * @param quick Names and headers only; records are not read.
 */
export async function checkLogs(
  checked: CheckedConfig,
  quick: boolean,
  findings: Findings
): Promise<void> {
  const { config } = checked
  if (!config || !checked.isSound('agent')) return
  const data = config.agent.data
  const places = LANES.map(
    (lane): LogPlace => ({ lane, directory: path.join(data, lane), dataDirectory: data })
  ).filter(({ directory }) => fs.existsSync(directory))
  if (places.length === 0) {
    findings.add('logs', 'note', `there is no log in ${data} yet: the first start makes it`)
    return
  }
  for (const place of places) {
    try {
      await checkLog(place, quick, findings)
    } catch (error) {
      const todo = 'run this check as the user that the agent runs as'
      findings.add('logs', 'error', messageOf(error), { where: place.directory, todo })
    }
  }
}

async function checkLog(place: LogPlace, quick: boolean, findings: Findings): Promise<void> {
  const { directory, lane } = place
  const { quarantine, newer, segments } = await reading(place, () =>
    readLogFiles(nodeDisk, directory)
  )
  if (quick) {
    const what = `${lane}: ${count(segments.length, 'segment')}; records were not read (--quick)`
    findings.add('logs', 'note', what)
  } else {
    const progress = new Progress(`verify ${lane}`)
    const live = isOwned(place)
    const report = await reading(place, () =>
      verifyLog(nodeDisk, directory, { live, onProgress: progress.show })
    ).finally(() => progress.end())
    tellReport(place, report, live, findings)
  }
  const newerNames = [
    ...newer.map(({ name }) => name),
    ...segments.filter(({ state }) => state === 'newer').map(({ name }) => name)
  ]
  if (newerNames.length > 0) {
    const what = `${lane}: ${count(newerNames.length, 'segment')} of a newer format`
    findings.add('logs', 'warning', what, {
      where: path.join(directory, newerNames[0]),
      why: 'this version does not deliver them; nothing of them is deleted',
      todo: 'run the newer Fieldline that wrote them until they are delivered'
    })
  }
  if (quarantine.length === 0) return
  const bytes = quarantine.reduce((sum, file) => sum + file.bytes, 0)
  const what = `${lane}: ${bytesText(bytes)} of damaged bytes were set aside in ${count(quarantine.length, 'file')}`
  findings.add('logs', 'note', what, {
    where: path.join(directory, 'quarantine'),
    why: 'a torn end after a power cut is harmless; damage again and again is a worn disk'
  })
}

function tellReport(
  { lane, directory }: LogPlace,
  { defects, totals, sound }: VerifyReport,
  live: boolean,
  findings: Findings
): void {
  const { records, segments, bytes, lostRecords } = totals
  const read = `${lane}: ${count(records, 'record')} in ${count(segments, 'segment')}, ${bytesText(bytes)} read`
  if (sound) {
    findings.add('logs', 'ok', `${read}: sound${live ? '; an agent is running on it' : ''}`)
    return
  }
  // What the next start mends by itself is no reason not to start.
  const harmless = defects.every(
    ({ kind }) => kind === 'torn_tail' || kind === 'header_copy' || kind === 'checkpoint'
  )
  for (const defect of defects.slice(0, DEFECTS_MAX)) {
    const lost = defect.lost ? `; ${lostText(defect.lost)}` : ''
    const severity = harmless ? 'warning' : 'error'
    findings.add('logs', severity, `${lane}: ${defect.message}${lost}`, {
      where: placeOf(directory, defect)
    })
  }
  const more = totals.defects - Math.min(defects.length, DEFECTS_MAX)
  const rest = more > 0 ? `${count(more, 'further defect')}; ` : ''
  const lost = `${count(lostRecords, 'record')} lost`
  findings.add('logs', 'note', `${read}: ${rest}${lost}`, {
    where: directory,
    todo: 'fieldline log verify tells all, fieldline log repair sets aside what is bad'
  })
}
