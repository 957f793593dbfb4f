// Domains that are ours to receive for, and mailboxes in them.

import type { Selectable } from 'kysely'
import { parseMailbox } from '../envelope/envelope.ts'
import type { Queries } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import { DOMAIN_STATES, type Domain, type DomainState, type Mailbox } from './rows.ts'
import type { Schema } from './schema.ts'
import { getTenant } from './tenants.ts'

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?'
/** A-labels in lower case (RFC 5890 2.3.2.1). */
const DOMAIN = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`)

interface ListWant {
  tenant?: string
  after?: string
  limit?: number
}

function cleanDomain(text: string): string {
  const domain = text.toLowerCase()
  if (!DOMAIN.test(domain)) throw new StoreError('invalid', `not a domain name: ${JSON.stringify(text)}`)
  return domain
}

/** Adds a domain. A null tenant makes it a hosted domain of all tenants. `invalid`, `conflict`, `not_found` tenant. */
export async function addDomain(
  on: Queries,
  given: { domain: string; tenant: string | null; state?: DomainState; now: number },
): Promise<Domain> {
  const { tenant, state = 'active', now } = given
  const domain = cleanDomain(given.domain)
  if (tenant !== null) await getTenant(on, tenant)
  const row: Domain = { domain, tenant, state, createdAt: now, updatedAt: now }
  const made = await on.kysely
    .insertInto('domains')
    .values(row)
    .onConflict((found) => found.doNothing())
    .returning('domain')
    .executeTakeFirst()
  if (made === undefined) throw new StoreError('conflict', `domain ${domain} exists already`)
  await directoryChanged(on)
  return row
}

/** `not_found` if there is none. */
export async function getDomain(on: Queries, domain: string): Promise<Domain> {
  const found = await on.kysely
    .selectFrom('domains')
    .selectAll()
    .where('domain', '=', domain.toLowerCase())
    .executeTakeFirst()
  if (found === undefined) throw new StoreError('not_found', `no domain ${JSON.stringify(domain)}`)
  return found
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
  return query.execute()
}

/** Changes the state. `not_found`, `invalid`. */
export async function updateDomain(
  on: Queries,
  domain: string,
  change: { state: DomainState; now: number },
): Promise<Domain> {
  if (!DOMAIN_STATES.includes(change.state)) {
    throw new StoreError('invalid', `a domain's state is one of ${DOMAIN_STATES.join(', ')}`)
  }
  const row = await on.kysely
    .updateTable('domains')
    .set({ state: change.state, updatedAt: change.now })
    .where('domain', '=', domain.toLowerCase())
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no domain ${JSON.stringify(domain)}`)
  await directoryChanged(on)
  return row
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
  // Local parts are matched without regard to case, so they are kept in lower case.
  return { address: `${parsed.local.toLowerCase()}@${domain}`, domain }
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
    .where('address', '=', address.toLowerCase())
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
    .where('address', '=', address.toLowerCase())
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no mailbox ${JSON.stringify(address)}`)
  await directoryChanged(on)
  return fromRow(row)
}

/** Mail that came to it stays. `not_found`. */
export async function removeMailbox(on: Queries, address: string): Promise<void> {
  const { numDeletedRows } = await on.kysely
    .deleteFrom('mailboxes')
    .where('address', '=', address.toLowerCase())
    .executeTakeFirst()
  if (numDeletedRows === 0n) throw new StoreError('not_found', `no mailbox ${JSON.stringify(address)}`)
  await directoryChanged(on)
}
