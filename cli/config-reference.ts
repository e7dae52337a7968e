import {
  type ReferenceRow,
  referenceRows,
  referenceTables
} from '../core/runtime/config-reference.ts'
import { jsonSchemaOf, type SchemaNode } from '../core/runtime/config-schema.ts'
import { fieldlineSchema } from './config.ts'

/** A whole small configuration, as an operator of one site might write it. */
export const EXAMPLE_CONFIG = `agent:
  id: gateway-7
  data: /var/lib/fieldline
mqtt:
  listen: 127.0.0.1:1883
  anonymous: never
  users:
    - username: pump-3
      password: \${PUMP_3_PASSWORD}
log:
  bytes_max: 4GiB
  overflow: drop_oldest
kafka:
  brokers: [kafka-1.example:9093, kafka-2.example:9093]
  tls: true
  sasl:
    mechanism: scram-sha-512
    username: gateway-7
    password: '@file:/run/secrets/kafka-password'
uplink:
  delivery: exactly_once
routes:
  - name: pumps
    match: ['plant/{site}/pump/{device}', 'plant/{site}/pump/{device}/{metric}']
    topic: 'plant.{site}'
  - name: legacy
    match: sensors/{device}/{metric}
    site: plant7
    codec: number
detector:
  raise: 0.9
`

/** JSON Schema (2020-12) of the file, for editors. */
export function configSchema(): SchemaNode {
  return { ...jsonSchemaOf(fieldlineSchema), title: 'Fieldline configuration' }
}

/** Markdown reference of every field. */
export function configReference(): string {
  return `# Configuration reference

Made by \`fieldline config reference\` from the schema in code. Every field has a default, so no
file is needed at all. \`\${NAME}\` and \`\${NAME:-default}\` put environment variables into any value,
\`$\${\` stands for \`\${\` itself; a secret may also be \`@file:/path\`. A duration is written \`250ms\`,
\`10s\`, \`5m\`, \`2h\` or \`7d\`, a size \`512KiB\`, \`4MiB\` or \`1GB\`.

\`\`\`yaml
${EXAMPLE_CONFIG}\`\`\`

${referenceTables(configSchema())}`
}

/** Every field as plain data. */
export function configFields(): ReferenceRow[] {
  return referenceRows(configSchema())
}
