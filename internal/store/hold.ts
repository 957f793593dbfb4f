// What a transaction holds still: names of which no other open transaction has one. What must not change between reading and writing
// is held first; all at once where the names are known, since each hold is a round trip to the database.

import type { Tx } from './database.ts'
import type { MessageKeyTable } from './schema.ts'

/** What a message is told apart from others by (R16). */
export type Key = Pick<MessageKeyTable, 'tenant' | 'source' | 'headerMessageId'>

/** Names what is decided about one message. */
export const messageName = (messageId: string): string => `message\n${messageId}`

/** Names who is first with a header id. */
export const keyName = ({ tenant, source, headerMessageId }: Key): string =>
  `key\n${tenant}\n${source}\n${headerMessageId}`

/**
 * Waits until no other open transaction holds one of these; they wait for this one in turn. What is held already costs nothing. True
 * when one was not: whoever held it may have changed what it names, so what was read before counts only once all are held. `ahead`: they
 * are held once the next statement that is waited for has its answer, which saves a round trip.
 */
export async function hold(tx: Tx, names: readonly string[], ahead?: 'ahead'): Promise<boolean> {
  const fresh = names.filter((name) => !tx.held.has(name))
  if (fresh.length === 0) return false
  await tx.dialect.serialise(tx, fresh, ahead)
  for (const name of fresh) tx.held.add(name)
  return true
}
