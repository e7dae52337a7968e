import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort, stopLocalKafka } from '../../cli/local-kafka.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Of the run's shared Kafka: its address if somebody else runs it, else where to start it. */
    sharedKafka: { address: string } | { port: number; dataDir: string }
  }
}

/**
 * Once a run: builds `dist` (what runs in a worker or a child process is tested as built) and
 * names the place of the shared Kafka. The first test that needs it starts it; the end stops it.
 *
 * Environment: `FIELDLINE_BUILT=1`, dist is fresh already. `FIELDLINE_KAFKA=HOST:PORT`, use that
 * broker. `CI=true`: what cannot be built or started fails instead of being skipped.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (process.env.FIELDLINE_BUILT !== '1') build(project.config.root)

  const address = process.env.FIELDLINE_KAFKA
  if (address) {
    project.provide('sharedKafka', { address })
    return async () => {}
  }
  const dataDir = mkdtempSync(join(tmpdir(), 'fieldline-kafka-'))
  project.provide('sharedKafka', { port: await freePort(), dataDir })
  return async () => {
    await stopLocalKafka(dataDir, 5000)
    rmSync(dataDir, { recursive: true, force: true })
  }
}

function build(root: string): void {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const { status, stdout } = spawnSync(process.execPath, [compiler, '-p', 'tsconfig.json'], {
    cwd: root,
    encoding: 'utf8'
  })
  if (status === 0) return
  if (process.env.CI) throw new Error(`the sources do not compile:\n${stdout}`)
  process.stderr.write(`The sources do not compile; dist may be older than they are.\n${stdout}\n`)
}
