import { expect, test } from 'vitest'
import { attachmentKey, eventId, messageId, objectKeys, uuidv5 } from './identity.ts'

const ENTRY = '0192f0c1-2b3c-7def-8123-456789abcdef'
const UUID_V5 = /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('UUIDv5 of www.example.com in the DNS namespace (RFC 9562 A.4)', () => {
  expect(uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'www.example.com')).toBe('2ed6657d-e927-568b-95e1-2665a8aea6a2')
})

test('a message id is the same on every retry, and another for each tenant and entry', () => {
  expect(messageId(ENTRY, 'acme')).toBe(messageId(ENTRY, 'acme'))
  expect(messageId(ENTRY, 'acme')).toMatch(UUID_V5)
  expect(messageId(ENTRY, 'acme')).not.toBe(messageId(ENTRY, 'acme-2'))
  expect(messageId(ENTRY, 'acme')).not.toBe(messageId(ENTRY.replace('f', 'e'), 'acme'))
})

test('an event id names type, subject and occurrence', () => {
  const id = eventId('ingest.received', ENTRY)
  expect(id).toBe(eventId('ingest.received', ENTRY, ''))
  expect(new Set([id, eventId('ingest.received', ENTRY, '2'), eventId('indexer.indexed', ENTRY)]).size).toBe(3)
})

test.each([
  ['2026-11-21T23:59:59.999Z', '2026/11/21', 'the last millisecond of a day'],
  ['2026-11-22T00:30:00.000+01:00', '2026/11/21', 'the day is the UTC day'],
])('object keys of %s are under %s (%s)', (receivedAt, day, _why) => {
  expect(objectKeys('acme', receivedAt, 'm1')).toEqual({ raw: `acme/${day}/m1.eml`, meta: `acme/${day}/m1.json` })
})

test('an attachment is kept once for each tenant', () => {
  expect(attachmentKey('acme', 'ab12')).toBe('acme/attachments/ab/ab12')
})
