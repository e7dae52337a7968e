import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { loadFieldlineConfig } from '../cli/config.ts'
import { packageRoot, packageVersion } from '../core/runtime/package-root.ts'
import { temporaryDirectory } from './kit/temp-directory.ts'

/** Every command and every configuration that a document shows is one that this version takes. */

const root = packageRoot()
const DOCUMENTS = [
  'README.md',
  'agent/DESIGN.md',
  'detector/DESIGN.md',
  'core/log/FORMAT.md',
  ...fs
    .readdirSync(path.join(root, 'deploy'))
    .filter(name => name.endsWith('.md'))
    .map(name => `deploy/${name}`)
]

interface Block {
  document: string
  language: string
  text: string
}

const blocks: Block[] = DOCUMENTS.flatMap(document => {
  const source = fs.readFileSync(path.join(root, document), 'utf8')
  return [...source.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
    document,
    language,
    text
  }))
})
const commands = blocks
  .filter(({ language }) => language === 'sh')
  .flatMap(({ document, text }) =>
    text
      .split('\n')
      .filter(line => line !== '')
      .map(line => [document, line] as const)
  )

/** Prometheus' own. */
const isForeign = ({ text }: Block) => /^scrape_configs:/m.test(text)

test.each(blocks.filter(block => block.language === 'yaml' && !isForeign(block)))(
  'a configuration shown in $document is valid',
  async ({ text }) => {
    const directory = temporaryDirectory()
    const secret = path.join(directory, 'secret')
    fs.writeFileSync(secret, 'from a file\n')
    const file = path.join(directory, 'fieldline.yaml')
    fs.writeFileSync(file, text.replaceAll(/@file:[^"\s]+/g, `@file:${secret}`))
    const named = [...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => [name, 'from outside'])
    const { config } = await loadFieldlineConfig({ file, env: Object.fromEntries(named) })
    if (text.includes('agent:')) expect(config.agent.id).toBe('gateway-7')
  }
)

test.each(commands)('a command shown in %s can be given: %s', (_, line) => {
  for (const command of line.split('&&').map(part => part.trim())) {
    const own = /^(?:npx|sudo(?: -u fieldline)?)? ?fieldline (.*)/.exec(command)?.[1]
    if (own !== undefined) expectKnown(own)
    else if (SYSTEM.test(command)) expect(existsInDeploy(command)).toBe(true)
    else if (EXAMPLE.test(command))
      expect(fs.existsSync(path.join(root, exampleOf(command)))).toBe(true)
    else if (command.startsWith('npm run ')) expect(scripts()).toContain(command.split(' ')[2])
    else
      expect(command).toMatch(
        /^(npm (ci|test)|mosquitto_pub -q 1 -t telemetry\/|mosquitto_sub -v -q 1 -t 'alerts\/#'$|curl -s http:|ssh -L 8080:127\.0\.0\.1:8080 )/
      )
  }
})

/** Run by test/deploy/subscribers.test.ts. */
const EXAMPLE = /^(?:pip install -r|python|java -cp 'lib\/\*') (?<file>deploy\/examples\/\S+)/

function exampleOf(command: string): string {
  return EXAMPLE.exec(command)?.groups?.file ?? ''
}

/** Our script, our package or our unit. */
const SYSTEM =
  /^(?:sudo )?(?:(?<script>deploy\/\S+\.sh) --arch (amd64|arm64)|apt install \.\/(?<name>[a-z-]+)_(?<version>[\d.]+)_(amd64|arm64)\.deb|systemctl (enable --now|status|edit|reload) (?<unit>fieldline-\w+))$/

function existsInDeploy(command: string): boolean {
  const { script, name, version, unit } = SYSTEM.exec(command)?.groups ?? {}
  const file = script ?? (unit ? `deploy/systemd/${unit}.service` : `deploy/deb/control.${name}`)
  return fs.existsSync(path.join(root, file)) && (!version || version === packageVersion())
}

/** The command and its flags stand in its own help. */
function expectKnown(text: string): void {
  const words = text.split(' ')
  const flagsAt = words.findIndex(word => word.startsWith('-'))
  const names = flagsAt < 0 ? words : words.slice(0, flagsAt)
  const help = execFileSync(
    process.execPath,
    [path.join(root, 'dist/cli/main.js'), ...names, '--help'],
    { encoding: 'utf8' }
  )
  const [, command, rest] = /^Usage: fieldline ([a-z -]+) \[options\](.*)/.exec(help) ?? []
  // What follows the command's own words is an argument that it says it takes.
  const given = names.slice(command.split(' ').length)
  expect(names.join(' ')).toBe([command, ...given].join(' '))
  const required = rest.match(/<\w+(\.\.\.)?>/g)?.length ?? 0
  const optional = rest.match(/\[\w+(\.\.\.)?\]/g)?.length ?? 0
  expect(given.length).toBeGreaterThanOrEqual(required)
  expect(given.length).toBeLessThanOrEqual(required + optional)
  for (const flag of words.filter(word => word.startsWith('-'))) expect(help).toContain(flag)
}

function scripts(): string[] {
  const manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  return Object.keys(manifest.scripts)
}
