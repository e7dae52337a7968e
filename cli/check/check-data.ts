import fs from 'node:fs'
import path from 'node:path'
import { identityState } from '../../agent/identity.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { formatBytes } from '../../core/runtime/units.ts'
import { bytesText } from '../log/text.ts'
import type { CheckedConfig } from './checked-config.ts'
import { type DataDirectory, lookAt, usageOf } from './data-directory.ts'
import type { Findings } from './finding.ts'
import type { Machine } from './machine.ts'

const GROUP = 'data directory'
const OTHERS_WRITE = 0o002
/** With less nothing can be stored at all: a segment's reserve and a checkpoint. */
const FREE_BYTES_MIN = 4 << 20

/** May it be written, whose is it, is there room for what `log.bytes_max` promises. */
export function checkData(checked: CheckedConfig, machine: Machine, findings: Findings): void {
  const { config } = checked
  if (!config || !checked.isSound('agent')) return
  const { data } = config.agent
  const where = checked.where(['agent', 'data'])
  const found = lookAt(data)
  if (found.state === 'other') {
    const todo = 'choose another directory, or move what is there away'
    findings.add(GROUP, 'error', `${found.existing} is no directory`, { where, todo })
    return
  }
  checkWritable(found, where, machine, findings)
  const usage = found.state === 'present' ? usageOf(data, machine.uid) : { bytes: 0 }
  if (found.state === 'present') {
    checkOwner(data, where, machine, findings)
    checkIdentity(checked, where, findings)
  }
  if ('foreign' in usage && usage.foreign) {
    const { first, uid, count } = usage.foreign
    const others = count > 1 ? ` and ${count - 1} more belong` : ' belongs'
    findings.add(GROUP, 'warning', `${first}${others} to another user (${uid})`, {
      where,
      why: 'an agent that was once started by another user, root for one, leaves files that this one may not be able to write',
      todo: `chown -R to the agent's user, or run this check as that user`
    })
  }
  checkSpace(checked, found, usage.bytes, machine, findings)
}

function checkWritable(
  found: DataDirectory,
  where: string,
  machine: Machine,
  findings: Findings
): void {
  const { directory, existing, state } = found
  const refused = machine.whyNotWritable(existing)
  if (refused === undefined) {
    const what = state === 'present' ? `${directory} can be written` : `${directory} can be made`
    findings.add(GROUP, 'ok', what)
    return
  }
  const readOnly = refused === 'EROFS'
  const what = readOnly
    ? `the file system of ${existing} is read-only`
    : `${state === 'present' ? `${directory} cannot be written` : `${directory} cannot be made in ${existing}`} by this user (${refused})`
  findings.add(GROUP, 'error', what, {
    where,
    todo: readOnly
      ? 'mount it for writing (a card that has failed becomes read-only: dmesg), or set agent.data elsewhere'
      : 'make it for the user that the agent runs as (install -d -o USER), or run this check as that user'
  })
}

function checkOwner(data: string, where: string, machine: Machine, findings: Findings): void {
  const { uid, mode } = fs.statSync(data)
  if (uid !== machine.uid) {
    findings.add(
      GROUP,
      'note',
      `${data} belongs to user ${uid}, this check runs as ${machine.uid}`,
      {
        where,
        todo: 'run it as the user that the agent runs as, to see with its eyes'
      }
    )
  }
  if ((mode & OTHERS_WRITE) === 0) return
  findings.add(GROUP, 'warning', `everybody on this machine may write ${data}`, {
    where,
    todo: `chmod o-w ${data}`
  })
}

/** What `agent.json` would make of the next start: another id, or another epoch. */
function checkIdentity({ config }: CheckedConfig, where: string, findings: Findings): void {
  const { data, id } = config!.agent
  const state = identityState(data)
  const renamed = id === undefined ? 'the agent would take a new id' : `agent.id (${id}) stays`
  if (state === 'damaged') {
    findings.add(GROUP, 'warning', `${path.join(data, 'agent.json')} is damaged: ${renamed}`, {
      where,
      todo: 'give agent.id to go on with the old name'
    })
  } else if (state === 'moved') {
    const what = `${data} comes from another machine: ${renamed}, and records get a new epoch`
    findings.add(GROUP, 'note', what, { where })
  }
}

function checkSpace(
  checked: CheckedConfig,
  { existing }: DataDirectory,
  usedBytes: number,
  machine: Machine,
  findings: Findings
): void {
  let fileSystem: ReturnType<Machine['fileSystemOf']>
  try {
    fileSystem = machine.fileSystemOf(existing)
  } catch (error) {
    findings.add(GROUP, 'note', `the free space of ${existing} is not known: ${messageOf(error)}`)
    return
  }
  const { freeBytes, kind } = fileSystem
  const where = checked.where(['log', 'bytes_max'])
  const { bytesMax } = checked.config!.log
  const neededBytes = Math.max(0, bytesMax - usedBytes)
  if (!checked.isSound('log')) {
    findings.add(GROUP, 'note', `${bytesText(freeBytes)} are free`)
  } else if (freeBytes >= neededBytes) {
    const what = `${bytesText(freeBytes)} are free; the log may still grow by ${bytesText(neededBytes)}`
    findings.add(GROUP, 'ok', what)
  } else {
    const severity = freeBytes < FREE_BYTES_MIN ? 'error' : 'warning'
    const what = `${bytesText(freeBytes)} are free, and the log may still grow by ${bytesText(neededBytes)}`
    findings.add(GROUP, severity, what, {
      where,
      why: `an outage would end early: the disk is full before the log reaches ${formatBytes(bytesMax)}`,
      todo: `make room, or set log.bytes_max to ${bytesText(roundDown(usedBytes + freeBytes)).replace(' ', '')} at most`
    })
  }
  if (kind === 'memory') {
    findings.add(GROUP, 'warning', `${existing} is in memory (tmpfs)`, {
      where: checked.where(['agent', 'data']),
      why: 'a PUBACK would not survive a power loss, nor a restart of the machine',
      todo: 'set agent.data to a directory on a disk'
    })
  } else if (kind === 'network') {
    findings.add(GROUP, 'warning', `${existing} is on a network file system`, {
      where: checked.where(['agent', 'data']),
      why: 'its locks and syncs may not mean what they say, and an outage of the network is one of the log',
      todo: 'set agent.data to a directory on a local disk'
    })
  }
}

/** Nine tenths, to whole units, so that it can be written into the configuration. */
function roundDown(bytes: number): number {
  const target = bytes * 0.9
  const unit = target >= 2 ** 30 ? 2 ** 30 : 2 ** 20
  return Math.max(4 << 20, Math.floor(target / unit) * unit)
}
