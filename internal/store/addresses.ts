// Domains that are ours to receive for, and mailboxes in them.

import type { Selectable } from 'kysely'
import { addressKey, canonicalDomain, parseMailbox } from '../envelope/envelope.ts'
import type { Queries } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import { DOMAIN_STATES, type Domain, type DomainState, type Mailbox } from './rows.ts'
import type { Schema } from './schema.ts'
import { getTenant } from './tenants.ts'

const DOMAIN_CHARS_MAX = 253

interface ListWant {
  tenant?: string
  after?: string
  limit?: number
}

/** A-labels in lower case; `invalid` where it is no domain name. */
export function cleanDomain(text: string): string {
  const domain = canonicalDomain(text)
  if (domain === undefined || domain.startsWith('[') || domain.length > DOMAIN_CHARS_MAX)
    throw new StoreError('invalid', `not a domain name: ${JSON.stringify(text)}`)
  return domain
}

/** As it is kept; what is no name is kept nowhere. */
const domainKey = (text: string): string => canonicalDomain(text) ?? text.toLowerCase()

const domainFromRow = (row: Selectable<Schema['domains']>): Domain => ({
  ...row,
  antiEnumeration: row.antiEnumeration === 1,
})

/** Adds a domain. A null tenant makes it a hosted domain of all tenants. `invalid`, `conflict`, `not_found` tenant. */
export async function addDomain(
  on: Queries,
  given: { domain: string; tenant: string | null; state?: DomainState; now: number },
): Promise<Domain> {
  const { tenant, state = 'active', now } = given
  const domain = cleanDomain(given.domain)
  if (tenant !== null) await getTenant(on, tenant)
  const options = { catchAll: null, antiEnumeration: 0 as const }
  const row = { domain, tenant, state, ...options, createdAt: now, updatedAt: now }
  const made = await on.kysely
    .insertInto('domains')
    .values(row)
    .onConflict((found) => found.doNothing())
    .returning('domain')
    .executeTakeFirst()
  if (made === undefined) throw new StoreError('conflict', `domain ${domain} exists already`)
  await directoryChanged(on)
  return domainFromRow(row)
}

/** `not_found` if there is none. */
export async function getDomain(on: Queries, domain: string): Promise<Domain> {
  const found = await on.kysely
    .selectFrom('domains')
    .selectAll()
    .where('domain', '=', domainKey(domain))
    .executeTakeFirst()
  if (found === undefined) throw new StoreError('not_found', `no domain ${JSON.stringify(domain)}`)
  return domainFromRow(found)
}

/** Domains in order of their names. */
export async function listDomains(on: Queries, want: ListWant = {}): Promise<Domain[]> {
  let query = on.kysely
    .selectFrom('domains')
    .selectAll()
    .orderBy('domain')
    .limit(want.limit ?? 1000)
  if (want.tenant !== undefined) query = query.where('tenant', '=', want.tenant)
  if (want.after !== undefined) query = query.where('domain', '>', want.after)
  return (await query.execute()).map(domainFromRow)
}

/** What of a domain can be changed. */
export interface DomainChange {
  state?: DomainState
  /** A mailbox, of the domain's tenant where it has one; null for none. */
  catchAll?: string | null
  antiEnumeration?: boolean
  now: number
}

/** Changes what is given. `not_found` domain or mailbox, `invalid` state, `conflict`: the mailbox is another tenant's. */
export async function updateDomain(on: Queries, name: string, change: DomainChange): Promise<Domain> {
  const { state, antiEnumeration, now } = change
  if (state !== undefined && !DOMAIN_STATES.includes(state)) {
    throw new StoreError('invalid', `a domain's state is one of ${DOMAIN_STATES.join(', ')}`)
  }
  const { domain, tenant } = await getDomain(on, name)
  const catchAll = change.catchAll && (await catchAllOf(on, tenant, change.catchAll))
  const row = await on.kysely
    .updateTable('domains')
    .set({
      ...(state === undefined ? {} : { state }),
      ...(catchAll === undefined ? {} : { catchAll }),
      ...(antiEnumeration === undefined ? {} : { antiEnumeration: antiEnumeration ? 1 : 0 }),
      updatedAt: now,
    })
    .where('domain', '=', domain)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no domain ${JSON.stringify(name)}`)
  await directoryChanged(on)
  return domainFromRow(row)
}

async function catchAllOf(on: Queries, tenant: string | null, address: string): Promise<string> {
  const mailbox = await getMailbox(on, address)
  if (tenant !== null && mailbox.tenant !== tenant) {
    throw new StoreError('conflict', `mailbox ${mailbox.address} belongs to another tenant`)
  }
  return mailbox.address
}

/** `conflict` while mailboxes are in it. */
export async function removeDomain(on: Queries, name: string): Promise<void> {
  const { domain } = await getDomain(on, name)
  const inside = await on.kysely
    .selectFrom('mailboxes')
    .select('address')
    .where('domain', '=', domain)
    .limit(1)
    .executeTakeFirst()
  if (inside !== undefined) throw new StoreError('conflict', `domain ${domain} still has ${inside.address}`)
  await on.kysely.deleteFrom('domains').where('domain', '=', domain).execute()
  await directoryChanged(on)
}

const fromRow = ({ domain: _, ...row }: Selectable<Schema['mailboxes']>): Mailbox => ({
  ...row,
  enabled: row.enabled === 1,
})

function cleanAddress(text: string): { address: string; domain: string } {
  const parsed = parseMailbox(text)
  if (parsed === undefined) throw new StoreError('invalid', `not an address: ${JSON.stringify(text)}`)
  const domain = cleanDomain(parsed.domain)
  return { address: addressKey({ local: parsed.local, domain }), domain }
}

/** As it is kept; what is no address is kept nowhere. */
function mailboxKey(text: string): string {
  const parsed = parseMailbox(text)
  return parsed === undefined ? text.toLowerCase() : addressKey(parsed)
}

/** Adds a mailbox in a domain of ours: a hosted one, or one of the same tenant. `invalid`, `conflict`, `not_found`. */
export async function addMailbox(
  on: Queries,
  given: { address: string; tenant: string; now: number },
): Promise<Mailbox> {
  const { tenant, now } = given
  const { address, domain } = cleanAddress(given.address)
  await getTenant(on, tenant)
  const owner = await getDomain(on, domain)
  if (owner.tenant !== null && owner.tenant !== tenant) {
    throw new StoreError('conflict', `domain ${domain} belongs to another tenant`)
  }
  const row = { address, domain, tenant, enabled: 1 as const, createdAt: now, updatedAt: now }
  const made = await on.kysely
    .insertInto('mailboxes')
    .values(row)
    .onConflict((found) => found.doNothing())
    .returning('address')
    .executeTakeFirst()
  if (made === undefined) throw new StoreError('conflict', `mailbox ${address} exists already`)
  await directoryChanged(on)
  return fromRow(row)
}

/** `not_found` if there is none. */
export async function getMailbox(on: Queries, address: string): Promise<Mailbox> {
  const row = await on.kysely
    .selectFrom('mailboxes')
    .selectAll()
    .where('address', '=', mailboxKey(address))
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no mailbox ${JSON.stringify(address)}`)
  return fromRow(row)
}

/** Mailboxes in order of their addresses. */
export async function listMailboxes(on: Queries, want: ListWant = {}): Promise<Mailbox[]> {
  let query = on.kysely
    .selectFrom('mailboxes')
    .selectAll()
    .orderBy('address')
    .limit(want.limit ?? 1000)
  if (want.tenant !== undefined) query = query.where('tenant', '=', want.tenant)
  if (want.after !== undefined) query = query.where('address', '>', want.after)
  return (await query.execute()).map(fromRow)
}

/** Enables or disables. `not_found`. */
export async function updateMailbox(
  on: Queries,
  address: string,
  change: { enabled: boolean; now: number },
): Promise<Mailbox> {
  const row = await on.kysely
    .updateTable('mailboxes')
    .set({ enabled: change.enabled ? 1 : 0, updatedAt: change.now })
    .where('address', '=', mailboxKey(address))
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no mailbox ${JSON.stringify(address)}`)
  await directoryChanged(on)
  return fromRow(row)
}

/** Mail that came to it stays. `not_found`; `conflict` while a domain's mail to nobody goes to it. */
export async function removeMailbox(on: Queries, name: string): Promise<void> {
  const { address } = await getMailbox(on, name)
  const user = await on.kysely
    .selectFrom('domains')
    .select('domain')
    .where('catchAll', '=', address)
    .limit(1)
    .executeTakeFirst()
  if (user !== undefined) throw new StoreError('conflict', `mailbox ${address} is the catch-all of ${user.domain}`)
  for (const table of ['autoReplies', 'autoReplied'] as const)
    await on.kysely.deleteFrom(table).where('address', '=', address).execute()
  await on.kysely.deleteFrom('mailboxes').where('address', '=', address).execute()
  await directoryChanged(on)
}
