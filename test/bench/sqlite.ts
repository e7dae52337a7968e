import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'

interface Database {
  pragma(text: string): void
  exec(text: string): void
  prepare(text: string): { run(...values: unknown[]): void; iterate(): Iterable<unknown> }
  transaction<T>(work: (argument: T) => void): (argument: T) => void
  close(): void
}

export type OpenDatabase = (file: string) => Database

/**
 * better-sqlite3, installed by npm into a directory of this run.
 *
 * @returns undefined where that fails, with one line on stderr.
 */
export async function installSqlite(directory: string): Promise<OpenDatabase | undefined> {
  try {
    fs.writeFileSync(path.join(directory, 'package.json'), '{ "private": true }')
    const args = ['install', '--no-audit', '--no-fund', 'better-sqlite3@12']
    await promisify(execFile)('npm', args, { cwd: directory, timeout: 240_000 })
    const load = createRequire(path.join(directory, 'package.json'))
    const Sqlite = load('better-sqlite3') as new (file: string) => Database
    const open = (file: string) => new Sqlite(file)
    open(':memory:').close()
    return open
  } catch (error) {
    const [line] = String((error as Error).message).split('\n')
    process.stderr.write(`better-sqlite3 is skipped: it cannot be installed here (${line})\n`)
    return undefined
  }
}

/** A table of records, WAL, every transaction synced, as an application would keep a queue. */
export function createQueue(open: OpenDatabase, file: string): Database {
  const database = open(file)
  database.pragma('journal_mode = WAL')
  database.pragma('synchronous = FULL')
  database.exec('CREATE TABLE records (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)')
  return database
}
