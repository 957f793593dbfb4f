// The number that tells whether a directory snapshot is still the newest.

import type { Queries } from './database.ts'

/** Raises the version; every change of tenants, domains, mailboxes and credentials ends with it. */
export async function directoryChanged(on: Queries): Promise<void> {
  await on.kysely
    .updateTable('directoryState')
    .set((each) => ({ version: each('version', '+', 1) }))
    .execute()
}

/** Grows with every change of tenants, domains, mailboxes and credentials. */
export async function directoryVersion(on: Queries): Promise<number> {
  const row = await on.kysely.selectFrom('directoryState').select('version').executeTakeFirstOrThrow()
  return row.version
}
