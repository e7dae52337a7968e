/**
 * The demo's last will: a process that waits for the demo to end, in whatever way, and then ends
 * what the demo had started. The demo's end is the end of this process' standard input.
 *
 * Argument: the demo's directory. A line `keep` on the input leaves the directory there.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type ProcessIdentity, signalProcess } from '../local-kafka-process.ts'
import { endKafka } from './end-kafka.ts'
import { AGENT_IDENTITY, KAFKA_DIRECTORY } from './places.ts'

async function clean(directory: string, keep: boolean): Promise<void> {
  const identity = agentIdentity(directory)
  if (identity) signalProcess(identity, 'SIGKILL')
  await endKafka(join(directory, KAFKA_DIRECTORY)).catch(() => {})
  if (!keep) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
}

function agentIdentity(directory: string): ProcessIdentity | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, AGENT_IDENTITY), 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}

// What ends the demo must not end its reaper.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
let said = ''
process.stdin.setEncoding('utf8')
process.stdin.on('data', text => {
  said += text
})
process.stdin.once('close', () => void clean(process.argv[2], said.includes('keep')))
