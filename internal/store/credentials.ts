// Credentials: who may submit mail for a tenant. The store never sees a secret, only what it was hashed to.

import type { Selectable } from 'kysely'
import { parseMailbox } from '../envelope/envelope.ts'
import { cleanDomain } from './addresses.ts'
import type { Queries } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import type { Credential } from './rows.ts'
import type { Schema } from './schema.ts'
import { getTenant } from './tenants.ts'

/** What a client logs in with: lower-case letters, digits and `._@+-`, so that nobody has to prepare it (RFC 4616 2, RFC 4013 2). */
const NAME = /^[a-z0-9][a-z0-9._@+-]{0,99}$/
/** Senders that one credential can be narrowed to. */
const SEND_AS_MAX = 100

const fromRow = ({ sendAs, ...row }: Selectable<Schema['credentials']>): Credential => ({
  ...row,
  sendAs: JSON.parse(sendAs) as string[],
})

function cleanSender(text: string): string {
  if (!text.includes('@')) return cleanDomain(text)
  const parsed = parseMailbox(text)
  if (parsed === undefined) throw new StoreError('invalid', `not an address: ${JSON.stringify(text)}`)
  return `${parsed.local.toLowerCase()}@${cleanDomain(parsed.domain)}`
}

/** Adds a credential. `sendAs`: addresses and domains; none for all of the tenant's. `invalid`, `conflict`, `not_found` tenant. */
export async function addCredential(
  on: Queries,
  given: { name: string; tenant: string; secretHash: string; sendAs: readonly string[]; now: number },
): Promise<Credential> {
  const { tenant, secretHash, now } = given
  const name = given.name.toLowerCase()
  if (!NAME.test(name)) {
    throw new StoreError(
      'invalid',
      `a credential's name is 1 to 100 of a-z, 0-9 and ._@+-, got ${JSON.stringify(given.name)}`,
    )
  }
  if (given.sendAs.length > SEND_AS_MAX) throw new StoreError('invalid', `at most ${SEND_AS_MAX} senders`)
  const sendAs = JSON.stringify(given.sendAs.map(cleanSender))
  await getTenant(on, tenant)
  const row = { name, tenant, secretHash, sendAs, createdAt: now, revokedAt: null }
  const made = await on.kysely
    .insertInto('credentials')
    .values(row)
    .onConflict((found) => found.doNothing())
    .returning('name')
    .executeTakeFirst()
  if (made === undefined) throw new StoreError('conflict', `credential ${name} exists already, or did once`)
  await directoryChanged(on)
  return fromRow(row)
}

/** Credentials in order of their names, the revoked ones too. */
export async function listCredentials(
  on: Queries,
  want: { tenant?: string; after?: string; limit?: number } = {},
): Promise<Credential[]> {
  let query = on.kysely
    .selectFrom('credentials')
    .selectAll()
    .orderBy('name')
    .limit(want.limit ?? 1000)
  if (want.tenant !== undefined) query = query.where('tenant', '=', want.tenant)
  if (want.after !== undefined) query = query.where('name', '>', want.after)
  return (await query.execute()).map(fromRow)
}

/** For good; a second time changes nothing. `not_found` if there is none. */
export async function revokeCredential(on: Queries, name: string, now: number): Promise<Credential> {
  const found = await on.kysely
    .selectFrom('credentials')
    .selectAll()
    .where('name', '=', name.toLowerCase())
    .executeTakeFirst()
  if (found === undefined) throw new StoreError('not_found', `no credential ${JSON.stringify(name)}`)
  if (found.revokedAt !== null) return fromRow(found)
  await on.kysely.updateTable('credentials').set({ revokedAt: now }).where('name', '=', found.name).execute()
  await directoryChanged(on)
  return fromRow({ ...found, revokedAt: now })
}
