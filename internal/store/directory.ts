// What the directory snapshot is made from.

import type { Queries, Store } from './database.ts'
import { addDomain, addMailbox, listDomains, listMailboxes } from './addresses.ts'
import { listCredentials } from './credentials.ts'
import type { DirectoryRow } from './rows.ts'
import { listPolicyLines, listSenders, policyKey, senderKey } from './senders.ts'
import { createTenant, listTenants } from './tenants.ts'

/** Rows read at one time. */
const PAGE = 1000

/** Every row, tenants first, in pages. Compare `directoryVersion` before and after: if it moved, read again. */
export async function* directoryRows(on: Queries): AsyncGenerator<DirectoryRow> {
  for await (const { slug, sizeMax, enabled } of paged(
    (after) => listTenants(on, after),
    (row) => row.slug,
  )) {
    yield { kind: 'tenant', slug, sizeMax, enabled }
  }
  for await (const { domain, tenant, state, catchAll, antiEnumeration } of paged(
    (after) => listDomains(on, after),
    (row) => row.domain,
  )) {
    yield { kind: 'domain', domain, tenant, state, catchAll, antiEnumeration }
  }
  for await (const { address, tenant, enabled } of paged(
    (after) => listMailboxes(on, after),
    (row) => row.address,
  )) {
    yield { kind: 'mailbox', address, tenant, enabled }
  }
  for await (const line of paged((after) => listPolicyLines(on, after), policyKey)) {
    yield { kind: 'policy', ...line }
  }
  for await (const { tenant, sender, listing } of paged((after) => listSenders(on, after), senderKey)) {
    yield { kind: 'sender', tenant, sender, listing }
  }
  for await (const { name, tenant, secretHash, sendAs, revokedAt } of paged(
    (after) => listCredentials(on, after),
    (row) => row.name,
  )) {
    if (revokedAt === null) yield { kind: 'credential', name, tenant, secretHash, sendAs }
  }
}

async function* paged<T>(
  read: (want: { after?: string; limit: number }) => Promise<T[]>,
  keyOf: (row: T) => string,
): AsyncGenerator<T> {
  let after: string | undefined
  for (;;) {
    const rows = await read(after === undefined ? { limit: PAGE } : { after, limit: PAGE })
    yield* rows
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE) return
    after = keyOf(last)
  }
}

/** On a store without tenants: the tenant `acme`, the hosted domain and its postmaster. Otherwise does nothing. */
export async function seedFirstStart(store: Store, first: { domain: string; now: number }): Promise<boolean> {
  const { domain, now } = first
  return store.transaction(async (tx) => {
    await tx.dialect.serialise(tx, ['first start'])
    if ((await listTenants(tx, { limit: 1 })).length > 0) return false
    await createTenant(tx, { slug: 'acme', now })
    await addDomain(tx, { domain, tenant: null, now })
    await addMailbox(tx, { address: `postmaster@${domain}`, tenant: 'acme', now })
    return true
  })
}
