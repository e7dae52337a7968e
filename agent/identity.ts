import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { AGENT_ID_PATTERN } from '../core/contract/event-id.ts'
import { messageOf, OperationalError } from '../core/runtime/errors.ts'

/** Who this agent is, kept in `agent.json` of its data directory. */
export interface Identity {
  agentId: string
  /** The directory woke up on another machine (a cloned SD card): offsets need a new epoch. */
  moved: boolean
  /** `agent.json` is there and tells no id: readings get ids of a new agent from now on. */
  lost: boolean
}

interface IdentityFile {
  agentId: string
  fingerprint: string | null
}

/**
 * Hardware serials, best first. Not machine-id, which clones share, nor virtual MAC addresses.
 */
const FINGERPRINT_FILES = [
  '/proc/device-tree/serial-number',
  '/sys/class/dmi/id/product_uuid',
  '/sys/class/dmi/id/board_serial'
]

/**
 * Loads the agent's identity, or draws one: host name and 8 hex digits.
 *
 * @param configuredId `agent.id` of the configuration; wins over what is stored.
 * @param fingerprint Of the hardware; undefined where none can be read (container): then the stored
 *   identity is kept.
 * @throws {OperationalError} DIRECTORY_UNUSABLE when it cannot be stored.
 */
export function loadIdentity(
  directory: string,
  configuredId: string | undefined,
  fingerprint: string | undefined = hardwareFingerprint()
): Identity {
  const file = path.join(directory, 'agent.json')
  const existed = fs.existsSync(file)
  const stored = readIdentity(file)
  const moved =
    stored?.fingerprint !== undefined &&
    stored.fingerprint !== null &&
    fingerprint !== undefined &&
    stored.fingerprint !== fingerprint
  const agentId = configuredId ?? (moved ? undefined : stored?.agentId) ?? drawAgentId()
  const next = { agentId, fingerprint: fingerprint ?? stored?.fingerprint ?? null }
  if (next.agentId !== stored?.agentId || next.fingerprint !== stored?.fingerprint) {
    writeIdentity(file, next)
  }
  const lost = !stored && existed && configuredId === undefined
  return { agentId, moved, lost }
}

/** What a start would find, without writing: `moved` and `lost` of `Identity`. */
export function identityState(
  directory: string,
  fingerprint: string | undefined = hardwareFingerprint()
): 'absent' | 'valid' | 'damaged' | 'moved' {
  const file = path.join(directory, 'agent.json')
  const stored = readIdentity(file)
  if (!stored) return fs.existsSync(file) ? 'damaged' : 'absent'
  const known = typeof stored.fingerprint === 'string' && fingerprint !== undefined
  return known && stored.fingerprint !== fingerprint ? 'moved' : 'valid'
}

export function hardwareFingerprint(
  files: readonly string[] = FINGERPRINT_FILES
): string | undefined {
  for (const file of files) {
    try {
      const text = fs.readFileSync(file, 'utf8').replaceAll('\0', '').trim()
      if (text !== '' && !/^(0+|none|default string|to be filled.*)$/i.test(text)) return text
    } catch {
      // Absent on this kind of machine, or readable by root alone.
    }
  }
  return undefined
}

/** First 64 bits of the kernel's random id of this boot; random where there is none. */
export function readBootId(): bigint {
  try {
    const text = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
    return BigInt(`0x${text.replaceAll('-', '').slice(0, 16)}`)
  } catch {
    return randomBytes(8).readBigUInt64BE()
  }
}

function drawAgentId(): string {
  const host =
    os
      .hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 55) || 'agent'
  return `${host}-${randomBytes(4).toString('hex')}`
}

function readIdentity(file: string): IdentityFile | undefined {
  try {
    const identity = JSON.parse(fs.readFileSync(file, 'utf8')) as IdentityFile
    const { agentId } = identity
    return typeof agentId === 'string' && AGENT_ID_PATTERN.test(agentId) ? identity : undefined
  } catch {
    // Absent, or damaged: a new identity is drawn, and with it every id is new.
    return undefined
  }
}

function writeIdentity(file: string, identity: IdentityFile): void {
  try {
    const aside = `${file}.tmp`
    const fd = fs.openSync(aside, 'w', 0o640)
    fs.writeSync(fd, `${JSON.stringify(identity)}\n`)
    fs.fsyncSync(fd)
    fs.closeSync(fd)
    fs.renameSync(aside, file)
    const directory = fs.openSync(path.dirname(file), 'r')
    fs.fsyncSync(directory)
    fs.closeSync(directory)
  } catch (error) {
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `The data directory ${path.dirname(file)} cannot be written: ${messageOf(error)}.`,
      { cause: error }
    )
  }
}
