#!/usr/bin/env node
import { CommanderError } from 'commander'
import { OperationalError } from '../core/runtime/errors.ts'
import { createProgram } from './program.ts'

async function main(args: readonly string[]): Promise<void> {
  const named = args.find(arg => !arg.startsWith('-') && arg !== 'help')
  const program = await createProgram(name => name === named)
  await program.parseAsync(args, { from: 'user' })
}

/** One clear line for what operation brings about; a stack for what should not exist. */
function fail(error: unknown): void {
  if (error instanceof CommanderError) {
    // Commander has already told; help and version are no failures.
    process.exit(error.exitCode === 0 ? 0 : 2)
  }
  const operational = error instanceof OperationalError
  const text = operational
    ? `fieldline: ${error.message}\n`
    : `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
  process.stderr.write(text, () => process.exit(operational ? error.exitCode : 1))
}

/** A reader that went away (`| head`) is no failure. */
function quietEpipe(stream: NodeJS.WriteStream): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    if (stream === process.stdout) process.exit()
  })
}

quietEpipe(process.stdout)
quietEpipe(process.stderr)
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)
await main(process.argv.slice(2)).catch(fail)
