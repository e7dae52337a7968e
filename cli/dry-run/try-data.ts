import fs from 'node:fs'
import path from 'node:path'
import { LANES, type LaneName } from '../../agent/uplink/lane-plan.ts'
import { parseProgress } from '../../agent/uplink/progress-file.ts'
import { inspectLog, type LogSummary } from '../../core/log/inspect.ts'
import { nodeDisk } from '../../core/log/node-disk.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { lookAt } from '../check/data-directory.ts'
import { ownerOf } from '../check/listeners.ts'
import { thisMachine } from '../check/machine.ts'
import { count } from '../log/text.ts'
import { type Probe, Trial } from './probe.ts'

const PATH = ['agent', 'data']
const UPLINK = 'uplink'

/** What the directory holds: where delivery would go on, and how much waits. Takes no lock. */
export async function tryData(data: string): Promise<Probe> {
  const trial = new Trial('data', data, PATH)
  const found = lookAt(data)
  if (found.state === 'other') {
    trial.fail(`${found.existing} is no directory`)
    return trial.end()
  }
  const refused = thisMachine.whyNotWritable(found.existing)
  if (refused !== undefined) trial.fail(`this user cannot write it (${refused})`)
  if (found.state === 'absent') {
    trial.fact('does not exist; would be made, and the agent would begin with an empty log')
    return trial.end()
  }
  const owner = ownerOf(data)
  if (owner) {
    const pid = owner.pid === undefined ? '' : ` (process ${owner.pid})`
    trial.fact(`an agent runs on it${pid}: a second one would be refused`)
  }
  for (const lane of LANES) {
    const directory = path.join(data, lane)
    if (!fs.existsSync(directory)) {
      trial.fact(`${lane}: no log yet`)
      continue
    }
    try {
      trial.fact(laneText(lane, data, await inspectLog(nodeDisk, directory)))
    } catch (error) {
      trial.fail(`${lane}: the log cannot be read: ${messageOf(error)}`)
    }
  }
  return trial.end()
}

function laneText(lane: LaneName, data: string, { cursors, end, first }: LogSummary): string {
  const saved = cursors.find(({ name }) => name === UPLINK)
  if (!saved)
    return `${lane}: ${count(end - first, 'record')} wait, delivery would begin at offset ${first}`
  // Younger than the checkpoint, after a process that was killed.
  const progress = progressOf(data, lane)
  const further = progress?.epoch === saved.epoch ? progress.offset : 0
  const offset = Math.min(end, Math.max(saved.offset, further, first))
  return `${lane}: delivery would go on at offset ${offset}, ${count(end - offset, 'record')} wait`
}

function progressOf(data: string, lane: LaneName) {
  try {
    return parseProgress(fs.readFileSync(path.join(data, 'progress', lane), 'latin1'))
  } catch {
    return undefined
  }
}

/** The agent's name, if it has one already. */
export function agentIdOf(configured: string | undefined, data: string): string | undefined {
  if (configured !== undefined) return configured
  try {
    const { agentId } = JSON.parse(fs.readFileSync(path.join(data, 'agent.json'), 'utf8'))
    return typeof agentId === 'string' ? agentId : undefined
  } catch {
    return undefined
  }
}
