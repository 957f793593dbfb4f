// Conversations (R22): header ids of a tenant that are linked by Message-ID, In-Reply-To and References form one component, and
// its name is the smallest of its ids' UUIDv5, so the order in which messages come makes no difference.

import { uuidv5 } from '../envelope/envelope.ts'
import type { Tx } from './database.ts'
import { hold } from './hold.ts'

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
  const { labels, fresh } = await settled(tx, tenant, ids)
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

interface Links {
  /** Names of the conversations that these ids are in. */
  labels: Set<string>
  /** Ids that are in none yet. */
  fresh: string[]
}

/** The links of these ids, held still: no other transaction renames or joins these conversations until this one ends. */
async function settled(tx: Tx, tenant: string, ids: readonly string[]): Promise<Links> {
  for (;;) {
    const links = await linksOf(tx, tenant, ids)
    const names = [...links.labels, ...links.fresh.map((id) => threadIdOf(tenant, id))]
    if (!(await hold(tx, names))) return links
  }
}

async function linksOf(tx: Tx, tenant: string, ids: readonly string[]): Promise<Links> {
  const known = await tx.kysely
    .selectFrom('threadIds')
    .select(['headerId', 'threadId'])
    .where('tenant', '=', tenant)
    .where('headerId', 'in', [...ids])
    .execute()
  const seen = new Set(known.map((row) => row.headerId))
  return { labels: new Set(known.map((row) => row.threadId)), fresh: ids.filter((id) => !seen.has(id)) }
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
