import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf, OperationalError, systemCode } from '../core/runtime/errors.ts'

const run = promisify(execFile)

const JAVA_MIN = 17
const FETCH_MS_MAX = 10 * 60_000
export const INSTALL_HINT =
  'install Java 17 or newer and Maven (Debian, Ubuntu: apt install openjdk-17-jre-headless maven), or Docker'

export interface LocalKafkaAvailability {
  kind: 'java' | 'docker' | 'none'
  /** One line for a person: what was found, or what is missing and what to install. */
  reason: string
}

/** `$FIELDLINE_CACHE`, else `$XDG_CACHE_HOME/fieldline`, else `~/.cache/fieldline`. */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  if (env.FIELDLINE_CACHE) return env.FIELDLINE_CACHE
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fieldline')
}

/** A file of `deploy/kafka`, from the sources as from the built files. */
export function deployFile(name: string): string {
  let dir = import.meta.dirname
  while (!existsSync(join(dir, 'package.json'))) {
    const parent = dirname(dir)
    if (parent === dir) throw new Error(`no package.json above ${import.meta.dirname}`)
    dir = parent
  }
  return join(dir, 'deploy', 'kafka', name)
}

export function javaCommand(env: NodeJS.ProcessEnv = process.env): string {
  const home = env.JAVA_HOME && join(env.JAVA_HOME, 'bin', 'java')
  return home && existsSync(home) ? home : 'java'
}

/** @param output What `java -version` prints. @returns 8, 17, 21, …; undefined when it is no Java's. */
export function javaMajor(output: string): number | undefined {
  const version = /version "(?:1\.)?(\d+)/.exec(output)
  return version ? Number(version[1]) : undefined
}

/** Which way of running Kafka this machine offers: Java first, then Docker. Changes nothing. */
export async function localKafkaAvailability(
  env: NodeJS.ProcessEnv = process.env
): Promise<LocalKafkaAvailability> {
  const java = await outputOf(javaCommand(env), ['-version'], env)
  const major = java === undefined ? undefined : javaMajor(java)
  let lack: string
  if (major === undefined) lack = 'no Java was found'
  else if (major < JAVA_MIN) lack = `Java ${major} is too old`
  else if (existsSync(jarsDir(env))) return { kind: 'java', reason: `Java ${major}, jars cached` }
  else if ((await outputOf('mvn', ['-v'], env)) === undefined) lack = 'no Maven was found'
  else return { kind: 'java', reason: `Java ${major}, Maven` }

  if ((await outputOf('docker', ['info'], env)) !== undefined) {
    return { kind: 'docker', reason: `Docker (${lack})` }
  }
  return {
    kind: 'none',
    reason: `A local Kafka needs a Java runtime: ${lack}, and no Docker engine answers; ${INSTALL_HINT}.`
  }
}

async function outputOf(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv
): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await run(command, args, { env, timeout: 20_000 })
    return stdout + stderr
  } catch {
    return undefined
  }
}

/** Where the jars belong: another pom gives another directory, so no version ever mixes with another. */
function jarsDir(env: NodeJS.ProcessEnv): string {
  const pom = readFileSync(deployFile('pom.xml'))
  const key = createHash('sha256').update(pom).digest('hex').slice(0, 16)
  return join(cacheDir(env), 'kafka', `libs-${key}`)
}

/**
 * The directory with Kafka's jars, fetched by Maven if it is not there (43 MB, once).
 *
 * The directory appears by a rename, so it is complete or absent; of two processes that fetch at
 * once, the second throws its copy away.
 *
 * @throws {OperationalError} TOOL_MISSING, LOCAL_KAFKA_FAILED (Maven failed), DIRECTORY_UNUSABLE.
 */
export async function kafkaJars(
  env: NodeJS.ProcessEnv = process.env,
  signal?: AbortSignal
): Promise<string> {
  const jars = jarsDir(env)
  if (existsSync(jars)) return jars
  const fetching = await makeFetchDir(dirname(jars))
  try {
    // Maven works on a copy: it may write beside its pom.
    await copyFile(deployFile('pom.xml'), join(fetching, 'pom.xml'))
    await runMaven(fetching, env, signal)
    await rename(join(fetching, 'libs'), jars).catch(error => {
      if (!existsSync(jars)) throw error
    })
    return jars
  } finally {
    await rm(fetching, { recursive: true, force: true })
  }
}

async function makeFetchDir(parent: string): Promise<string> {
  try {
    await mkdir(parent, { recursive: true })
    return await mkdtemp(join(parent, 'fetching-'))
  } catch (cause) {
    throw new OperationalError(
      'DIRECTORY_UNUSABLE',
      `Cannot create a directory in ${parent} for Kafka's files: ${messageOf(cause)}. Set FIELDLINE_CACHE to a writable directory.`,
      { cause }
    )
  }
}

async function runMaven(dir: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<void> {
  const goal = ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=libs']
  try {
    await run('mvn', goal, { cwd: dir, env, signal, timeout: FETCH_MS_MAX, maxBuffer: 16 << 20 })
  } catch (cause) {
    if (signal?.aborted) throw cause
    if (systemCode(cause) === 'ENOENT') {
      throw new OperationalError('TOOL_MISSING', `No Maven was found: ${INSTALL_HINT}.`, { cause })
    }
    const { stdout, stderr } = cause as { stdout?: string; stderr?: string }
    const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(0, 5).join('\n')
    throw new OperationalError(
      'LOCAL_KAFKA_FAILED',
      `Maven could not fetch Kafka's files; is its registry reachable? It said:\n${said || messageOf(cause)}`,
      { cause }
    )
  }
}
