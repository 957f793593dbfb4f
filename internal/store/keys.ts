// The first message with each header Message-ID: what makes another one a duplicate (R16).

import type { Queries, Tx } from './database.ts'
import { hold, keyName, type Key } from './hold.ts'
import { messageIs } from './messages.ts'
import type { MessageKeyTable } from './schema.ts'

export type KeyRow = MessageKeyTable

export async function findKey(on: Queries, key: Key): Promise<KeyRow | undefined> {
  return on.kysely
    .selectFrom('messageKeys')
    .selectAll()
    .where('tenant', '=', key.tenant)
    .where('source', '=', key.source)
    .where('headerMessageId', '=', key.headerMessageId)
    .executeTakeFirst()
}

/** The key that a message holds, if any. */
export async function keyHeldBy(on: Queries, messageId: string): Promise<KeyRow | undefined> {
  return on.kysely.selectFrom('messageKeys').selectAll().where('messageId', '=', messageId).executeTakeFirst()
}

/** Gives the key to a message, whoever had it. */
export async function claimKey(tx: Tx, row: KeyRow): Promise<void> {
  await tx.kysely
    .insertInto('messageKeys')
    .values(row)
    .onConflict((found) =>
      found
        .columns(['tenant', 'source', 'headerMessageId'])
        .doUpdateSet({ messageId: row.messageId, entryId: row.entryId }),
    )
    .execute()
}

/** Takes from a message whatever key it holds. */
export async function dropKey(tx: Tx, messageId: string): Promise<void> {
  await tx.kysely.deleteFrom('messageKeys').where('messageId', '=', messageId).execute()
}

/** The key that a message holds, held still together with every id that decides about it. */
export async function holdKeyOf(tx: Tx, messageId: string): Promise<KeyRow | undefined> {
  for (;;) {
    const key = await keyHeldBy(tx, messageId)
    const isIt = await messageIs(tx, messageId)
    const row =
      isIt &&
      (await tx.kysely
        .selectFrom('messages')
        .select(['tenant', 'source', 'headerMessageId', 'syntheticBase'])
        .where(isIt)
        .executeTakeFirst())
    const ids = [row?.headerMessageId, row?.syntheticBase].filter((id) => typeof id === 'string')
    const keys = [...(key === undefined ? [] : [key]), ...ids.map((id) => ({ ...row, headerMessageId: id }) as Key)]
    if (!(await hold(tx, keys.map(keyName)))) return key
  }
}
