// Credentials: what a secret becomes, and whom its owner may send as.

import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { parseMailbox } from '../envelope/envelope.ts'
import { checkSecret, hashSecret, SALT_BYTES, type DomainState, type Lookups } from './directory.ts'
import { maySendAs } from './senders.ts'

const domain = (name: string, tenant: string | null, state: DomainState = 'active') => ({
  domain: name,
  tenant,
  state,
  catchAll: null,
  antiEnumeration: false,
})
const domains = [
  domain('acme.example', 'acme'),
  domain('lost.example', 'acme', 'mx_lost'),
  domain('pending.example', 'acme', 'pending'),
  domain('suspended.example', 'acme', 'suspended'),
  domain('beta.example', 'beta'),
  domain('mail.example', null),
]
const mailboxes = [
  { address: 'ann@mail.example', tenant: 'acme', enabled: true },
  { address: 'off@mail.example', tenant: 'acme', enabled: false },
  { address: 'bob@mail.example', tenant: 'beta', enabled: true },
  { address: 'ann@beta.example', tenant: 'acme', enabled: true },
]
const lookups: Lookups = {
  tenant: () => undefined,
  domain: (name) => domains.find((row) => row.domain === name),
  mailbox: (address) => mailboxes.find((row) => row.address === address),
  credential: () => undefined,
}
const settings = {
  hostedDomain: 'mail.example',
  plusPrefix: 'orders',
  postmaster: { local: 'postmaster', domain: 'mail.example', text: '' },
}

test.each<[string, string[], boolean, string]>([
  ['anyone@acme.example', [], true, 'a domain of its own, whatever the local part'],
  ['Ann@ACME.example', [], true, 'in any case'],
  ['ann@lost.example', [], true, 'still its own without the MX'],
  ['ann@pending.example', [], false, 'not yet proven to be its own'],
  ['ann@suspended.example', [], false, 'suspended'],
  ['ann@beta.example', [], false, 'another tenant’s domain, whoever has a mailbox there'],
  ['ann@elsewhere.example', [], false, 'nobody’s domain here'],
  ['orders+acme@mail.example', [], true, 'its address in the shared domain'],
  ['orders+beta@mail.example', [], false, 'another tenant’s'],
  ['ann@mail.example', [], true, 'its mailbox in the shared domain'],
  ['ann+x@mail.example', [], true, 'with a tag'],
  ['bob@mail.example', [], false, 'another tenant’s mailbox'],
  ['off@mail.example', [], false, 'a disabled mailbox'],
  ['postmaster@mail.example', [], false, 'nobody’s by name'],
  ['ann@acme.example', ['ann@acme.example'], true, 'narrowed to it'],
  ['ann+x@acme.example', ['ann@acme.example'], true, 'with a tag'],
  ['bob@acme.example', ['ann@acme.example'], false, 'narrowed to another'],
  ['bob@acme.example', ['lost.example', 'acme.example'], true, 'narrowed to the domain'],
  ['ann@beta.example', ['beta.example'], false, 'narrowing gives nothing'],
])('acme sends as %s, narrowed to %j: %s (%s)', (address, sendAs, want, _why) => {
  const sender = parseMailbox(address)
  if (sender === undefined) throw new TypeError(address)
  expect(maySendAs(settings, lookups, { name: 'app', tenant: 'acme', secretHash: '', sendAs }, sender)).toBe(want)
})

test('a secret is hashed by scrypt with its own salt and parameters, and only it fits (RFC 7914 6)', async () => {
  const [one, other] = [
    await hashSecret('sesame', randomBytes(SALT_BYTES)),
    await hashSecret('sesame', randomBytes(SALT_BYTES)),
  ]
  expect(one).toMatch(/^scrypt:16384:8:5:[\w-]{22}:[\w-]{43}$/)
  expect(one).not.toBe(other)
  expect(await checkSecret('sesame', one)).toBe(true)
  expect(await checkSecret('Sesame', one)).toBe(false)
  expect(await checkSecret('', undefined)).toBe(false)
})

test.each<[string, string | boolean, string]>([
  ['scrypt:2:1:1:AAAA:'.concat('A'.repeat(43)), false, 'other parameters are understood'],
  ['md5:abc', 'a credential with a hash of another kind', 'of another kind'],
  ['scrypt:1048576:8:1:AAAA:'.concat('A'.repeat(43)), 'memory limit', 'too dear for a small machine'],
])('%s (%s, %s)', async (hash, want, _why) => {
  const told = await checkSecret('x', hash).catch((error: Error) => error.message)
  if (typeof want === 'string') expect(String(told).toLowerCase()).toContain(want)
  else expect(told).toBe(want)
})
