import { isLoopbackHost, parseAddress } from '../core/runtime/address.ts'
import { readConfig } from '../core/runtime/config.ts'
import { ConfigError } from '../core/runtime/config-findings.ts'
import { OperationalError } from '../core/runtime/errors.ts'
import { fieldlineSchema } from './config.ts'

/** What a first configuration is made of; what is absent has its default. */
export interface InitAnswers {
  kafka?: string
  id?: string
  data?: string
  /** Where devices connect to. */
  listen?: string
  /** Who may connect without a name. */
  anonymous?: string
  usersFile?: string
  /** MQTT topics of the devices, `plants/{site}/{device}/{metric}`. */
  match?: string
  site?: string
  delivery?: string
  /** Encrypted connections to Kafka; `ca`, `user` and `passwordFile` go with it. */
  tls?: boolean
  ca?: string
  user?: string
  passwordFile?: string
}

const DEFAULT_SITE = 'site1'

/** YAML of a small configuration, with the reason of each line beside it. */
export function initText(answers: InitAnswers): string {
  const sections = [agentText(answers), mqttText(answers), kafkaText(answers)]
  if (answers.delivery !== undefined) {
    sections.push(['uplink:', `  delivery: ${answers.delivery}`])
  }
  sections.push(logText(), routesText(answers))
  const head = [
    '# Fieldline. Every field has a default: what stands here is what differs, or what is often asked for.',
    `# All fields: fieldline config reference. Values may be \${VARIABLE}, secrets also '@file:/path'.`
  ]
  return `${[head, ...sections].map(lines => lines.join('\n')).join('\n\n')}\n`
}

/** @throws {OperationalError} USAGE: the answers make no valid configuration; all mistakes are in it. */
export function checkInitText(text: string): void {
  const source = 'the new configuration'
  try {
    // Passwords and other secrets are not there yet.
    readConfig({
      schema: fieldlineSchema,
      file: { name: source, text },
      env: {},
      readFile: () => 'secret'
    })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const mistakes = error.findings.map(({ path, message }) => `${path}: ${message}`)
    throw new OperationalError('USAGE', `Nothing was written. ${mistakes.join('; ')}`)
  }
}

/** What a person does after the file is there. */
export function nextSteps(file: string, answers: InitAnswers): string[] {
  const word = scalar(file)
  return [
    ...(answers.usersFile === undefined ? [] : [`fieldline passwd ${answers.usersFile} USER`]),
    `fieldline check -c ${word}`,
    `fieldline dry-run -c ${word}`,
    `fieldline topics create -c ${word}`,
    `fieldline agent -c ${word}`
  ]
}

function agentText({ id, data }: InitAnswers): string[] {
  return [
    'agent:',
    id === undefined
      ? "  # id: gateway-7             # in every record's id; default: host name and 8 digits"
      : `  id: ${scalar(id)}`,
    data === undefined
      ? '  # data: /var/lib/fieldline  # logs and what was learned; default: fieldline-data'
      : `  data: ${scalar(data)}`
  ]
}

function mqttText({ listen, anonymous, usersFile }: InitAnswers): string[] {
  const far = listen !== undefined && listen !== 'off' && !isLoopback(listen)
  const closed = far && usersFile === undefined && anonymous !== 'always'
  return [
    'mqtt:',
    listen === undefined
      ? '  # listen: 0.0.0.0:1883      # default: 127.0.0.1:1883, this machine alone'
      : `  listen: ${scalar(listen)}`,
    ...(anonymous === undefined ? [] : [`  anonymous: ${anonymous}`]),
    ...(usersFile === undefined
      ? []
      : [`  users_file: ${scalar(usersFile)}  # made by: fieldline passwd`]),
    ...(closed
      ? [
          '  # Clients from elsewhere need a name: users_file (fieldline passwd), or anonymous: always.'
        ]
      : [])
  ]
}

function kafkaText({ kafka, tls, ca, user, passwordFile }: InitAnswers): string[] {
  const brokers = (kafka ?? 'localhost:9092').split(',').map(part => scalar(part.trim()))
  const encrypted = ca !== undefined ? `  tls: { ca: ${scalar(ca)} }` : '  tls: true'
  const password = passwordFile === undefined ? undefined : scalar(`@file:${passwordFile}`)
  return [
    'kafka:',
    `  brokers: [${brokers.join(', ')}]`,
    ...(tls || ca !== undefined ? [encrypted] : []),
    ...(user === undefined
      ? []
      : [
          '  sasl:',
          '    mechanism: scram-sha-512',
          `    username: ${scalar(user)}`,
          `    password: ${password ?? "'@file:/run/secrets/kafka-password'"}`
        ])
  ]
}

function logText(): string[] {
  return [
    'log:',
    '  bytes_max: 1GiB             # rate × size × longest outage; see deploy/OPERATING.md',
    '  overflow: drop_oldest       # when it is full: drop_oldest, drop_newest, or block (devices wait)'
  ]
}

function routesText({ match, site }: InitAnswers): string[] {
  if (match === undefined) {
    return [
      '# Devices publish under telemetry/SITE/DEVICE or telemetry/SITE/DEVICE/METRIC. For other topics:',
      '# routes:',
      '#   - name: pumps',
      '#     match: plants/{site}/pumps/{device}/{metric}'
    ]
  }
  return [
    'routes:',
    '  - name: devices',
    `    match: ${scalar(match)}`,
    ...(match.includes('{site}')
      ? []
      : [`    site: ${scalar(site ?? DEFAULT_SITE)}  # the topics do not name it`])
  ]
}

function isLoopback(listen: string): boolean {
  try {
    return isLoopbackHost(parseAddress(listen).host)
  } catch {
    // The check of the whole says what is wrong with it.
    return true
  }
}

/** Plain where YAML reads it as text all the same; a number or a switch is quoted. */
function scalar(text: string): string {
  const plain = /^[A-Za-z/][A-Za-z0-9_./:-]*$/.test(text) && !text.endsWith(':')
  const special = /^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return plain && !special ? text : `'${text.replaceAll("'", "''")}'`
}
