import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageRoot } from '../../core/runtime/package-root.ts'
import { type KafkaNode, startKafkaNodes } from '../kit/kafka-nodes.ts'
import { type LinkProxy, startLinkProxy } from '../kit/link-proxy.ts'

/** A real broker behind a link, and what can be done to the way between it and its clients. */
export interface Stage {
  readonly broker: KafkaNode
  /** The broker tells clients to come by it, under the name `localhost`. */
  readonly link: LinkProxy
  /** `localhost:PORT` of the link. */
  readonly advertised: string
  /** Another way to the broker, for a first connection: the broker does not tell of it. */
  readonly entrance: LinkProxy
  /** For processes on the stage: `localhost` resolves as the stage wants it. */
  readonly environment: Readonly<Record<string, string>>
  /** @param code Of the error; undefined: names resolve. */
  failNames(code: string | undefined): void
  remove(): Promise<void>
}

export async function startStage(): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'fieldline-stage-'))
  const names = join(directory, 'names')
  let port = 0
  const link = await startLinkProxy(() => ({ port }))
  const entrance = await startLinkProxy(() => ({ port }))
  const advertised = `localhost:${link.port}`
  const removeLinks = async (): Promise<void> => {
    await Promise.all([link.close(), entrance.close()])
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    const kafka = await startKafkaNodes({ advertise: () => advertised })
    const [broker] = kafka.nodes
    port = broker.port
    return {
      ...{ broker, link, entrance, advertised },
      environment: { NODE_OPTIONS: `--import ${preloadUrl()}`, FIELDLINE_NAMES: names },
      failNames: code => writeFileSync(names, code ?? ''),
      remove: async () => {
        await kafka.remove()
        await removeLinks()
      }
    }
  } catch (error) {
    await removeLinks()
    throw error
  }
}

/** As built: a child process loads no TypeScript. */
function preloadUrl(): string {
  return pathToFileURL(join(packageRoot(), 'dist/test/faults/failing-names.js')).href
}
