import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { cacheDir } from '../../cli/local-kafka-tools.ts'
import { messageOf } from '../../core/runtime/errors.ts'
import { packageRoot } from '../../core/runtime/package-root.ts'

const run = promisify(execFile)
const INSTALL_MS_MAX = 240_000

/** A file of deploy/examples. */
export function example(...names: string[]): string {
  return path.join(packageRoot(), 'deploy/examples', ...names)
}

/**
 * A Python with what an example asks for, installed once for all runs.
 *
 * @param requirements A file of deploy/examples/python.
 * @returns Its command; undefined where there is no Python, or its packages cannot be had.
 */
export async function pythonWith(requirements: string): Promise<string | undefined> {
  const wanted = fs.readFileSync(example('python', requirements), 'utf8')
  const name = createHash('sha256').update(wanted).digest('hex').slice(0, 16)
  const directory = path.join(cacheDir(), `python-${name}`)
  const command = path.join(directory, 'bin/python')
  const complete = path.join(directory, 'complete')
  if (fs.existsSync(complete)) return command
  try {
    await run('python3', ['-m', 'venv', '--clear', directory], { timeout: INSTALL_MS_MAX })
    const install = ['-m', 'pip', 'install', '-q', '-r', example('python', requirements)]
    await run(command, install, { timeout: INSTALL_MS_MAX })
  } catch (error) {
    process.stderr.write(`Examples in Python are not run: ${messageOf(error)}\n`)
    return undefined
  }
  fs.writeFileSync(complete, '')
  return command
}
