// What the directory snapshot is made from.

import type { Queries, Store } from './database.ts'
import { addDomain, addMailbox, listDomains, listMailboxes } from './addresses.ts'
import type { Domain, Mailbox, Tenant } from './rows.ts'
import { createTenant, listTenants } from './tenants.ts'

/** Rows read at one time. */
const PAGE = 1000

/** Read each once, in this order. */
export interface DirectoryRows {
  tenants: AsyncIterable<Tenant>
  domains: AsyncIterable<Domain>
  mailboxes: AsyncIterable<Mailbox>
}

/** Every row, read in pages. Compare `directoryVersion` before and after: if it moved, read again. */
export function directoryRows(on: Queries): DirectoryRows {
  return {
    tenants: paged(
      (want) => listTenants(on, want),
      (row) => row.slug,
    ),
    domains: paged(
      (want) => listDomains(on, want),
      (row) => row.domain,
    ),
    mailboxes: paged(
      (want) => listMailboxes(on, want),
      (row) => row.address,
    ),
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
    if ((await listTenants(tx, { limit: 1 })).length > 0) return false
    await createTenant(tx, { slug: 'acme', now })
    await addDomain(tx, { domain, tenant: null, now })
    await addMailbox(tx, { address: `postmaster@${domain}`, tenant: 'acme', now })
    return true
  })
}
