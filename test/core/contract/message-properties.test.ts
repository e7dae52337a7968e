import { expect, test } from 'vitest'
import { propertyText } from '../../../core/contract/message-properties.ts'

const STORED = {
  userProperties: { traceparent: '00-ab', tag: ['a', 'b'], 'content-type': 'theirs' },
  ...{ messageExpiryS: 90, responseTopic: 'r/1', correlationData: 'aWQ=' }
}

test.each([
  ['traceparent', '00-ab'],
  ['tag', 'a,b'],
  ['message-expiry', '90'],
  ['response-topic', 'r/1'],
  ['correlation-data', 'aWQ='],
  ['content-type', 'theirs'],
  ['absent', undefined],
  ['__proto__', undefined],
  ['userProperties', undefined]
])('the property %s is the text %s', (name, text) => {
  expect(propertyText(STORED, name)).toBe(text)
})

test("the message's own content type comes before a user property of that name", () => {
  expect(propertyText({ ...STORED, contentType: 'text/csv' }, 'content-type')).toBe('text/csv')
})

test.each([
  [{}],
  [{ userProperties: null }],
  [{ userProperties: 7 }],
  [{ userProperties: { a: { b: 1 } } }],
  [{ contentType: {} }]
])('properties of another shape, %j, give nothing', stored => {
  expect(propertyText(stored, 'a')).toBeUndefined()
  expect(propertyText(stored, 'content-type')).toBeUndefined()
})
