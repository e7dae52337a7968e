import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { messageOf, OperationalError } from '../core/runtime/errors.ts'
import { LOCAL_HOST } from './local-kafka-answer.ts'

/*
 * The way without Java: the official image, its data inside the container. Not covered by the
 * tests, which run Kafka on the Java runtime; kept as short as can be for that reason.
 */

const run = promisify(execFile)
const IMAGE = 'apache/kafka:4.1.0'

async function docker(...args: string[]): Promise<string> {
  try {
    return (await run('docker', args)).stdout.trim()
  } catch (cause) {
    const said = (cause as { stderr?: string }).stderr?.trim() || messageOf(cause)
    throw new OperationalError('LOCAL_KAFKA_FAILED', `docker ${args[0]} failed: ${said}`, { cause })
  }
}

/** @returns The container's id. @param properties Kafka's own, without listeners and directories. */
export function runContainer(port: number, properties: Record<string, string>): Promise<string> {
  const settings = {
    ...properties,
    'node.id': '1',
    'process.roles': 'broker,controller',
    'controller.quorum.voters': '1@localhost:9093',
    'controller.listener.names': 'CONTROLLER',
    listeners: 'PLAINTEXT://:9092,CONTROLLER://:9093',
    'advertised.listeners': `PLAINTEXT://${LOCAL_HOST}:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT'
  }
  const env = Object.entries(settings).flatMap(([name, value]) => [
    '-e',
    `KAFKA_${name.replaceAll('.', '_').toUpperCase()}=${value}`
  ])
  return docker('run', '-d', '-p', `${LOCAL_HOST}:${port}:9092`, ...env, IMAGE)
}

export async function startContainer(id: string): Promise<void> {
  await docker('start', id)
}

/** @returns The container's process id; 0 when it does not run. */
export async function containerPid(id: string): Promise<number> {
  return Number(await docker('inspect', '-f', '{{.State.Pid}}', id).catch(() => '0'))
}

export async function stopContainer(id: string, graceMs: number): Promise<void> {
  await docker('stop', '-t', String(Math.ceil(graceMs / 1000)), id)
}

export async function killContainer(id: string): Promise<void> {
  await docker('kill', id)
}

export async function removeContainer(id: string): Promise<void> {
  await docker('rm', '-f', id)
}

export async function containerLog(id: string, lines: number): Promise<string> {
  return docker('logs', '--tail', String(lines), id).catch(() => '')
}
