import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

interface PackageManifest {
  readonly name: string
  readonly version: string
}

let found: { directory: string; manifest: PackageManifest } | undefined

/** Absolute path of Fieldline's own directory, be it run from the sources or from `dist`. */
export function packageRoot(): string {
  return findPackage().directory
}

/** As in `package.json`. */
export function packageVersion(): string {
  return findPackage().manifest.version
}

function findPackage(): { directory: string; manifest: PackageManifest } {
  found ??= climb(dirname(fileURLToPath(import.meta.url)))
  return found
}

function climb(directory: string): { directory: string; manifest: PackageManifest } {
  const manifest = readManifest(join(directory, 'package.json'))
  if (manifest?.name === 'fieldline') return { directory, manifest }
  const parent = dirname(directory)
  if (parent === directory) throw new Error('no package.json of fieldline above its own files')
  return climb(parent)
}

function readManifest(path: string): PackageManifest | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as PackageManifest
  } catch {
    return undefined
  }
}
