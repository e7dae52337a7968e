import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, OperationalError } from '../core/runtime/errors.ts'
import { deployFile, javaCommand } from './local-kafka-tools.ts'

/*
 * Kafka's programs on the Java runtime. They run in the data directory, which holds
 * `server.properties`; what they say ends up in `kafka.log` and `output.log` there.
 */

const FORMAT_MS_MAX = 60_000
const JVM_OPTIONS = ['-XX:+UseSerialGC', '-XX:-UsePerfData', '-Djava.awt.headless=true']
/** Starting with the C1 compiler only is faster; worth it for a tool that runs a second. */
export const SHORT_JVM_OPTIONS = ['-XX:TieredStopAtLevel=1', '-Xshare:auto']
export const LOG_LINES_SHOWN = 12

const run = promisify(execFile)

/**
 * Prepares the directory that `log.dirs` names.
 *
 * @param extra Arguments of the storage tool beside, e.g. `--add-scram`.
 */
export async function formatStorage(
  jars: string,
  dataDir: string,
  { signal, extra = [] }: { signal?: AbortSignal; extra?: readonly string[] } = {}
): Promise<void> {
  // What Kafka's own `random-uuid` gives, without starting a Java for it; a leading dash is an option.
  const clusterId = `f${randomBytes(16).toString('base64url').slice(1, 21)}A`
  const tool = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', 'server.properties']
  const options = [...JVM_OPTIONS, ...SHORT_JVM_OPTIONS, '-Xmx128m']
  const args = [...options, ...classPath(jars), ...logging(), ...tool, ...extra]
  try {
    await run(javaCommand(), args, { cwd: dataDir, signal, timeout: FORMAT_MS_MAX })
  } catch (cause) {
    if (signal?.aborted) throw cause
    const { stdout, stderr } = cause as { stdout?: string; stderr?: string }
    const said = `${stdout ?? ''}${stderr ?? ''}`.trim() || messageOf(cause)
    throw new OperationalError(
      'LOCAL_KAFKA_FAILED',
      `Kafka could not prepare its storage in ${dataDir}:\n${said}`,
      { cause }
    )
  }
}

/** Starts a broker that outlives this process. */
export async function spawnBroker(
  jars: string,
  dataDir: string,
  heapMb: number,
  jvmOptions: readonly string[] = []
): Promise<ChildProcess> {
  const output = await open(join(dataDir, 'output.log'), 'w')
  try {
    const heap = ['-Xms128m', `-Xmx${heapMb}m`, '-XX:+ExitOnOutOfMemoryError']
    const options = [...JVM_OPTIONS, ...heap, ...jvmOptions]
    const main = ['kafka.Kafka', 'server.properties']
    const child = spawn(javaCommand(), [...options, ...classPath(jars), ...logging(), ...main], {
      cwd: dataDir,
      detached: true,
      stdio: ['ignore', output.fd, output.fd]
    })
    child.on('error', () => {})
    child.unref()
    return child
  } finally {
    await output.close()
  }
}

function classPath(jars: string): string[] {
  return ['-cp', join(jars, '*')]
}

function logging(): string[] {
  const config = deployFile('log4j2.properties')
  return [`-Dlog4j2.configurationFile=${config}`, '-Dfieldline.kafka.log=kafka.log']
}

/** The last lines of a broker's log. */
export async function tailOf(dataDir: string): Promise<string> {
  const read = (name: string): Promise<string> =>
    readFile(join(dataDir, name), 'utf8').catch(() => '')
  const text = `${await read('kafka.log')}\n${await read('output.log')}`
  return text
    .split('\n')
    .filter(line => line.trim())
    .slice(-LOG_LINES_SHOWN)
    .join('\n')
}
