import { bytesText } from '../log/text.ts'
import { RELEASED_AT } from '../released-at.ts'
import type { CheckedConfig } from './checked-config.ts'
import type { Findings } from './finding.ts'
import type { Machine } from './machine.ts'

const MIB = 1 << 20
/** An agent at work, without what the configuration adds; measured, see deploy/OPERATING.md. */
const AGENT_BYTES = 110 * MIB
/** A series of the detector, see detector/DESIGN.md. */
const SERIES_BYTES = 900
/** Beside devices: logs, Kafka, the database of ONNX, standard streams. */
const OWN_DESCRIPTORS = 100

/** Clock, descriptors and memory, against what the configuration allows. */
export function checkMachine(checked: CheckedConfig, machine: Machine, findings: Findings): void {
  checkClock(machine, findings)
  if (checked.isSound('mqtt')) checkDescriptors(checked, machine, findings)
  if (checked.isSound('mqtt') && checked.isSound('detector')) {
    checkMemory(checked, machine, findings)
  }
}

function checkClock(machine: Machine, findings: Findings): void {
  const now = machine.now()
  const text = new Date(now).toISOString().slice(0, 19).replace('T', ' ')
  if (now >= RELEASED_AT) {
    findings.add('machine', 'ok', `the clock says ${text} UTC`)
    return
  }
  findings.add(
    'machine',
    'note',
    `the clock says ${text} UTC, which is before this release was made`,
    {
      why: 'readings are taken all the same, and get their time once the clock is set; certificates are not valid until then',
      todo: 'see that a time server is reached (timedatectl)'
    }
  )
}

function checkDescriptors(checked: CheckedConfig, machine: Machine, findings: Findings): void {
  const limit = machine.descriptorsMax()
  const { connectionsMax } = checked.config!.mqtt
  if (limit === undefined) return
  if (connectionsMax + OWN_DESCRIPTORS <= limit) {
    const what = `${limit} open files are allowed, enough for ${connectionsMax} connections`
    findings.add('machine', 'ok', what)
    return
  }
  findings.add(
    'machine',
    'warning',
    `${limit} open files are too few for ${connectionsMax} connections`,
    {
      where: checked.where(['mqtt', 'connections_max']),
      why: 'connections beyond it are not accepted. It is the limit of this shell; under systemd LimitNOFILE= counts',
      todo: `raise it (ulimit -n ${connectionsMax + OWN_DESCRIPTORS}, LimitNOFILE=), or lower mqtt.connections_max`
    }
  )
}

function checkMemory(checked: CheckedConfig, machine: Machine, findings: Findings): void {
  const { mqtt, detector } = checked.config!
  const detects = detector.enabled && detector.scope === 'edge'
  const windowBytes = detects && detector.models.length > 0 ? detector.windowBytesMax : 0
  const seriesBytes = detects ? detector.seriesMax * SERIES_BYTES : 0
  const wantedBytes = AGENT_BYTES + mqtt.inflightBytesMax + windowBytes + seriesBytes
  const haveBytes = machine.memoryBytes()
  const numbers = `${bytesText(wantedBytes)} at the limits of the configuration, ${bytesText(haveBytes)} of memory`
  if (wantedBytes <= 0.8 * haveBytes) {
    findings.add('machine', 'ok', numbers)
    return
  }
  findings.add('machine', 'warning', numbers, {
    where: checked.where(['mqtt', 'inflight_bytes_max']),
    why: 'the system may end the agent when all of it is used; nothing acknowledged is lost by that',
    todo: 'lower mqtt.inflight_bytes_max, detector.series_max or detector.window_memory'
  })
}
