import { expect, test } from 'vitest'
import { listenersOf, mqttSchema, mqttWarnings } from '../../../../agent/ingest/broker/config.ts'

const TLS = { cert: 'a.crt', key: 'a.key' }

test('the plain listener comes first, and each other has what it says', () => {
  const mqtt = mqttSchema.parse({
    listen: '127.0.0.1:1883',
    listeners: [
      { listen: '0.0.0.0:8883', tls: { ...TLS, ca: 'ca.crt', client_certificate: 'optional' } },
      { listen: '[::]:9001', websocket: true },
      {
        listen: '0.0.0.0:8443',
        tls: TLS,
        websocket: { path: '/x', origins: ['https://a.example'] }
      }
    ]
  })
  const all = listenersOf(mqtt)
  expect(all.map(({ listen }) => listen.port)).toEqual([1883, 8883, 9001, 8443])
  expect(all[1].tls).toMatchObject({ clientCertificate: 'optional', identity: 'none' })
  expect(all[2]).toMatchObject({ tls: null, websocket: { path: '/mqtt', origins: [] } })
  expect(all[3].websocket).toEqual({ path: '/x', origins: ['https://a.example'] })
  expect(listenersOf(mqttSchema.parse({ listen: 'off' }))).toEqual([])
})

test.each([
  [{ listeners: [{ listen: 'off' }] }, 'expected HOST:PORT'],
  [{ listeners: [{ listen: '127.0.0.1:1883' }] }, "another listener's already"],
  [
    { listeners: [{ listen: '0.0.0.0:1', tls: { ...TLS, client_certificate: 'required' } }] },
    'needs tls.ca'
  ],
  [
    { listeners: [{ listen: '0.0.0.0:1', tls: { ...TLS, identity: 'certificate_cn' } }] },
    'set client_certificate'
  ],
  [{ listeners: [{ listen: '0.0.0.0:1', tls: { ...TLS, crl: 'x' } }] }, 'needs tls.ca'],
  [{ listeners: [{ listen: '0.0.0.0:1', tls: { cert: 'x' } }] }, 'key'],
  [{ listeners: [{ listen: '0.0.0.0:1', websocket: { path: 'mqtt' } }] }, 'expected a path'],
  [
    { listeners: [{ listen: '0.0.0.0:1', websocket: { origins: ['a.example'] } }] },
    'expected http://'
  ],
  [{ anonymous: 'never' }, 'lets nobody connect'],
  [
    { listen: 'off', anonymous: 'never', listeners: [{ listen: '0.0.0.0:1' }] },
    'lets nobody connect'
  ]
])('%j is refused: %s', (given, message) => {
  expect(mqttSchema.safeParse(given).error?.message).toContain(message)
})

test.each([
  [{}],
  [{ anonymous: 'never', users_file: 'users' }],
  [{ listen: 'off', anonymous: 'never' }],
  [
    {
      anonymous: 'never',
      listeners: [
        {
          listen: '0.0.0.0:1',
          tls: { ...TLS, ca: 'c', client_certificate: 'required', identity: 'certificate_cn' }
        }
      ]
    }
  ]
])('%j is accepted, and no warning is due', given => {
  expect(mqttWarnings(mqttSchema.parse(given))).toEqual([])
})

test.each([
  [{ listen: '0.0.0.0:1883', users_file: 'users' }, 'in the clear on 0.0.0.0:1883'],
  [{ listen: '0.0.0.0:1883', users: [{ username: 'u', password: 'p' }] }, 'in the clear'],
  [
    { listeners: [{ listen: '10.0.0.1:9001', websocket: true }], users_file: 'users' },
    'in the clear'
  ],
  [{ listen: '0.0.0.0:1883', anonymous: 'always' }, 'everybody who reaches'],
  [{ acl: [{ publish: ['t/{client}'] }] }, 'prefer {user}']
])('%j is unwise: %s', (given, warning) => {
  expect(mqttWarnings(mqttSchema.parse(given))).toEqual([expect.stringContaining(warning)])
})
