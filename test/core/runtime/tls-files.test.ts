import { expect, test } from 'vitest'
import { readTlsFiles } from '../../../core/runtime/tls-files.ts'
import { TestAuthority } from '../../kit/certificates.ts'

const authority = new TestAuthority()
const ours = authority.issue({ name: 'gateway-7' })

test('files are read anew each time, text is taken as it is', () => {
  const files: Record<string, string> = { '/ca': authority.cert, '/key': ours.key }
  const read = () =>
    readTlsFiles(
      { ca: '/ca', cert: ours.cert, key: { file: '/key' } },
      'x.tls',
      path => files[path]
    )
  // A secret's file is taken without the newline at its end.
  expect(read()).toEqual({ ca: authority.cert, cert: ours.cert, key: ours.key.trimEnd() })
  const other = new TestAuthority('other')
  files['/ca'] = other.cert
  expect(read().ca).toBe(other.cert)
})

test('a file that cannot be read is told with its field and the reason', () => {
  const missing = () => {
    throw Object.assign(new Error('no'), { code: 'ENOENT' })
  }
  expect(() => readTlsFiles({ ca: '/ca' }, 'x.tls', missing)).toThrow(
    'x.tls.ca: the file cannot be read (ENOENT)'
  )
})

test('files that do not fit each other are told without what they hold', () => {
  const files = { cert: ours.cert, key: { text: authority.issue({ name: 'b' }).key } }
  expect(() => readTlsFiles(files, 'x.tls')).toThrow(/^x\.tls: the files cannot be used/)
})
