// Conversations (R22): header ids of a tenant that are linked by Message-ID, In-Reply-To and References form one component, and
// its name is the smallest of its ids' UUIDv5, so the order in which messages come makes no difference.

import { uuidv5 } from '../envelope/envelope.ts'
import type { Tx } from './database.ts'

/** Namespace of conversation ids, fixed for ever. */
const NAMESPACE = uuidv5('6ba7b810-9dad-11d1-80b4-00c04fd430c8', 'threads.mail-ingest.invalid')

/** Name of the conversation that has only this header id. */
export const threadIdOf = (tenant: string, headerId: string): string => uuidv5(NAMESPACE, `${tenant}\n${headerId}`)

/**
 * Links the header ids of one message and returns the name of their conversation. Where that joins conversations, their
 * messages are renamed in the same transaction.
 */
export async function joinThread(tx: Tx, tenant: string, headerIds: readonly string[]): Promise<string> {
  const ids = [...new Set(headerIds)]
  const known = await tx.kysely
    .selectFrom('threadIds')
    .select(['headerId', 'threadId'])
    .where('tenant', '=', tenant)
    .where('headerId', 'in', ids)
    .execute()
  const labels = new Set(known.map((row) => row.threadId))
  const seen = new Set(known.map((row) => row.headerId))
  const fresh = ids.filter((id) => !seen.has(id))
  const name = [...labels, ...fresh.map((id) => threadIdOf(tenant, id))].sort()[0]
  if (name === undefined) throw new TypeError('a message without a header id')
  const renamed = [...labels].filter((label) => label !== name)
  if (renamed.length > 0) await rename(tx, { tenant, from: renamed, to: name })
  if (fresh.length > 0) {
    const rows = fresh.map((headerId) => ({ tenant, headerId, threadId: name }))
    await tx.kysely.insertInto('threadIds').values(rows).execute()
  }
  return name
}

async function rename(tx: Tx, change: { tenant: string; from: string[]; to: string }): Promise<void> {
  const { tenant, from, to } = change
  await tx.kysely
    .updateTable('threadIds')
    .set({ threadId: to })
    .where('tenant', '=', tenant)
    .where('threadId', 'in', from)
    .execute()
  await tx.kysely
    .updateTable('messages')
    .set({ threadId: to })
    .where('tenant', '=', tenant)
    .where('threadId', 'in', from)
    .execute()
}
