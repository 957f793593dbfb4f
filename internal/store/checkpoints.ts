// How far each consumer group has come. Written in the transaction of the effects, so it is the truth (events.md).

import type { Queries, Tx } from './database.ts'
import type { Checkpoint } from './rows.ts'
import { run } from './run.ts'

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

const SAVE = `
  insert into checkpoints (consumer_group, topic, partition, next_offset, event_time, updated_at)
  values ($1, $2, $3, $4, $5, $6)
  on conflict (consumer_group, topic, partition) do update
  set next_offset = excluded.next_offset, event_time = excluded.event_time, updated_at = excluded.updated_at
  where checkpoints.next_offset < excluded.next_offset`

/** Moves a checkpoint forward; it never goes back. */
export async function saveCheckpoint(tx: Tx, checkpoint: Checkpoint): Promise<void> {
  const { group, topic, partition, offset, eventTime, updatedAt } = checkpoint
  await run(tx, SAVE, [group, topic, partition, offset, eventTime, updatedAt])
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
