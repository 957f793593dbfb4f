// Bounds of one package that must fit into those of another.

import { expect, test } from 'vitest'
import { SETTINGS } from '../internal/config/config.ts'
import { parsePath, type Recipient } from '../internal/envelope/envelope.ts'
import { LIMITS } from '../spool/spool.ts'

const RECIPIENTS_MAX = 5000

test('the most recipients that SMTP_MAX_RECIPIENTS allows, each as long as can be, fit into an envelope of the spool', () => {
  const parse = (text: string) => SETTINGS.smtpMaxRecipients.parse(text)
  expect(parse(String(RECIPIENTS_MAX))).toBe(RECIPIENTS_MAX)
  expect(() => parse(String(RECIPIENTS_MAX + 1))).toThrow(/from 100 to 5000/)

  // Quoted pairs take four characters of JSON for two octets; the path has 254 without its brackets (RFC 5321 4.5.3.1.3).
  const local = `"${'\\"'.repeat(31)}"`
  const domain = Array.from({ length: 3 }, () => 'd'.repeat(62)).join('.')
  const address = `${local}@${domain}`.padEnd(254, 'd')
  expect(parsePath(address)).toBeDefined()
  expect(parsePath(`${address}d`)).toBeUndefined()
  // A mailbox is an address of the directory, or prefix, plus and slug at the address's own domain.
  const recipient: Recipient = { address, tenant: 't'.repeat(63), mailbox: address }
  const recipients = Array.from({ length: RECIPIENTS_MAX }, () => recipient)
  const others = 64 * 1024
  expect(Buffer.byteLength(JSON.stringify(recipients)) + others).toBeLessThan(LIMITS.envelopeBytesMax)
})
