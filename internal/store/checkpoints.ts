// How far each consumer group has come. Written in the transaction of the effects, so it is the truth (events.md).

import type { Queries, Tx } from './database.ts'
import type { Checkpoint } from './rows.ts'

/** The next offset wanted; 0 before the first event. */
export async function checkpointOf(on: Queries, group: string, topic: string, partition: number): Promise<number> {
  const row = await on.kysely
    .selectFrom('checkpoints')
    .select('nextOffset')
    .where('consumerGroup', '=', group)
    .where('topic', '=', topic)
    .where('partition', '=', partition)
    .executeTakeFirst()
  return row?.nextOffset ?? 0
}

/** Moves a checkpoint forward; it never goes back. */
export async function saveCheckpoint(tx: Tx, checkpoint: Checkpoint): Promise<void> {
  const { group, offset, ...rest } = checkpoint
  await tx.kysely
    .insertInto('checkpoints')
    .values({ ...rest, consumerGroup: group, nextOffset: offset })
    .onConflict((found) =>
      found
        .columns(['consumerGroup', 'topic', 'partition'])
        .doUpdateSet({ nextOffset: offset, eventTime: rest.eventTime, updatedAt: rest.updatedAt })
        .where('checkpoints.nextOffset', '<', offset),
    )
    .execute()
}

export async function listCheckpoints(on: Queries, group?: string): Promise<Checkpoint[]> {
  let query = on.kysely
    .selectFrom('checkpoints')
    .selectAll()
    .orderBy('consumerGroup')
    .orderBy('topic')
    .orderBy('partition')
  if (group !== undefined) query = query.where('consumerGroup', '=', group)
  return (await query.execute()).map(({ consumerGroup, nextOffset, ...rest }) => ({
    ...rest,
    group: consumerGroup,
    offset: nextOffset,
  }))
}
