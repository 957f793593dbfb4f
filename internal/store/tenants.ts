// Tenants: the owners of mail. A slug is part of addresses and object keys, so it never changes.

import { type Selectable } from 'kysely'
import type { Queries } from './database.ts'
import { directoryChanged } from './directory-version.ts'
import { StoreError } from './errors.ts'
import type { Quotas, Tenant } from './rows.ts'
import type { Schema } from './schema.ts'

/** Kebab-case, at most 63 characters: it stands in local parts and in object keys. */
const SLUG = /^(?=.{1,63}$)[a-z0-9]+(-[a-z0-9]+)*$/

/** Whether this can be a tenant's slug. */
export const isSlug = (text: string): boolean => SLUG.test(text)

const SIZE_MAX_LEAST = 1024

const fromRow = (row: Selectable<Schema['tenants']>): Tenant => ({ ...row, enabled: row.enabled === 1 })

function checkSizeMax(sizeMax: number | null | undefined): void {
  if (sizeMax === null || sizeMax === undefined) return
  if (!Number.isSafeInteger(sizeMax) || sizeMax < SIZE_MAX_LEAST) {
    throw new StoreError(
      'invalid',
      `a tenant's largest message must be a whole number of at least ${SIZE_MAX_LEAST} bytes`,
    )
  }
}

function checkQuotas(quotas: Partial<Quotas>): void {
  for (const quota of [quotas.messagesPerDay, quotas.bytesPerDay, quotas.storedBytes]) {
    if (quota === null || quota === undefined || (Number.isSafeInteger(quota) && quota > 0)) continue
    throw new StoreError('invalid', "a tenant's quota must be a whole number of at least 1")
  }
}

/** Makes a tenant. `invalid` slug or size, `conflict` if it exists, or was erased. */
export async function createTenant(
  on: Queries,
  tenant: { slug: string; name?: string; sizeMax?: number | null; now: number } & Partial<Quotas>,
): Promise<Tenant> {
  const { slug, name = slug, sizeMax = null, now } = tenant
  const { messagesPerDay = null, bytesPerDay = null, storedBytes = null } = tenant
  const quotas = { messagesPerDay, bytesPerDay, storedBytes }
  if (!isSlug(slug)) {
    throw new StoreError(
      'invalid',
      `a tenant's slug is words of a-z and 0-9 joined by dashes, 63 characters at most, got ${JSON.stringify(slug)}`,
    )
  }
  checkSizeMax(sizeMax)
  checkQuotas(quotas)
  const erased = await on.kysely.selectFrom('erasures').select('tenant').where('tenant', '=', slug).executeTakeFirst()
  if (erased !== undefined) throw new StoreError('conflict', `tenant ${slug} was erased; its slug is not given again`)
  const row = { slug, name, sizeMax, ...quotas, enabled: 1 as const, createdAt: now, updatedAt: now }
  const made = await on.kysely
    .insertInto('tenants')
    .values(row)
    .onConflict((found) => found.doNothing())
    .returning('slug')
    .executeTakeFirst()
  if (made === undefined) throw new StoreError('conflict', `tenant ${slug} exists already`)
  await directoryChanged(on)
  return fromRow(row)
}

export async function findTenant(on: Queries, slug: string): Promise<Tenant | undefined> {
  const row = await on.kysely.selectFrom('tenants').selectAll().where('slug', '=', slug).executeTakeFirst()
  return row === undefined ? undefined : fromRow(row)
}

/** Like findTenant; `not_found` if there is none. */
export async function getTenant(on: Queries, slug: string): Promise<Tenant> {
  const tenant = await findTenant(on, slug)
  if (tenant === undefined) throw new StoreError('not_found', `no tenant ${JSON.stringify(slug)}`)
  return tenant
}

/** Tenants in order of their slugs, after `after`. */
export async function listTenants(on: Queries, want: { after?: string; limit?: number } = {}): Promise<Tenant[]> {
  let query = on.kysely
    .selectFrom('tenants')
    .selectAll()
    .orderBy('slug')
    .limit(want.limit ?? 1000)
  if (want.after !== undefined) query = query.where('slug', '>', want.after)
  return (await query.execute()).map(fromRow)
}

/** Changes what is given. `not_found`, `invalid`. */
export async function updateTenant(
  on: Queries,
  slug: string,
  change: { name?: string; sizeMax?: number | null; enabled?: boolean; now: number } & Partial<Quotas>,
): Promise<Tenant> {
  checkSizeMax(change.sizeMax)
  checkQuotas(change)
  const { messagesPerDay, bytesPerDay, storedBytes } = change
  const row = await on.kysely
    .updateTable('tenants')
    .set({
      updatedAt: change.now,
      ...(change.name === undefined ? {} : { name: change.name }),
      ...(change.sizeMax === undefined ? {} : { sizeMax: change.sizeMax }),
      ...(messagesPerDay === undefined ? {} : { messagesPerDay }),
      ...(bytesPerDay === undefined ? {} : { bytesPerDay }),
      ...(storedBytes === undefined ? {} : { storedBytes }),
      ...(change.enabled === undefined ? {} : { enabled: change.enabled ? 1 : 0 }),
    })
    .where('slug', '=', slug)
    .returningAll()
    .executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no tenant ${JSON.stringify(slug)}`)
  await directoryChanged(on)
  return fromRow(row)
}

/** Removes a tenant that owns nothing. `conflict` while it has mail, domains, mailboxes or credentials: disable it instead. */
export async function removeTenant(on: Queries, slug: string): Promise<void> {
  const mail = await on.kysely
    .selectFrom('messages')
    .select('id')
    .where('tenant', '=', slug)
    .limit(1)
    .executeTakeFirst()
  if (mail !== undefined) throw new StoreError('conflict', `tenant ${slug} has mail; disable it instead`)
  const owns = await on.kysely
    .selectFrom('mailboxes')
    .select('address as name')
    .where('tenant', '=', slug)
    .union(on.kysely.selectFrom('domains').select('domain as name').where('tenant', '=', slug))
    .union(on.kysely.selectFrom('credentials').select('name').where('tenant', '=', slug).where('revokedAt', 'is', null))
    .limit(1)
    .executeTakeFirst()
  if (owns !== undefined) throw new StoreError('conflict', `tenant ${slug} still owns ${owns.name}`)
  const { numDeletedRows } = await on.kysely.deleteFrom('tenants').where('slug', '=', slug).executeTakeFirst()
  if (numDeletedRows === 0n) throw new StoreError('not_found', `no tenant ${JSON.stringify(slug)}`)
  // Counts of mail that is gone are not for the next tenant of this name.
  await on.kysely.deleteFrom('usageDays').where('tenant', '=', slug).execute()
  await on.kysely.deleteFrom('usageStored').where('tenant', '=', slug).execute()
  await directoryChanged(on)
}
