// Long tasks of operators, resumable by id.

import type { Selectable } from 'kysely'
import type { Queries } from './database.ts'
import { StoreError } from './errors.ts'
import type { Job, JobState } from './rows.ts'
import type { Schema } from './schema.ts'

const fromRow = (row: Selectable<Schema['jobs']>): Job => ({
  ...row,
  spec: JSON.parse(row.spec) as Record<string, unknown>,
})

/** `conflict` if the id is taken. */
export async function createJob(
  on: Queries,
  job: { id: string; kind: string; spec: Record<string, unknown>; total: number | null; now: number },
): Promise<Job> {
  const { id, kind, spec, total, now } = job
  const row = await on.kysely
    .insertInto('jobs')
    .values({
      id,
      kind,
      state: 'running',
      spec: JSON.stringify(spec),
      total,
      done: 0,
      failed: 0,
      cursor: null,
      createdAt: now,
      updatedAt: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow()
  return fromRow(row)
}

/** `not_found` if there is none. */
export async function getJob(on: Queries, id: string): Promise<Job> {
  const row = await on.kysely.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new StoreError('not_found', `no job ${JSON.stringify(id)}`)
  return fromRow(row)
}

export async function updateJob(
  on: Queries,
  id: string,
  change: { state?: JobState; total?: number; done?: number; failed?: number; cursor?: string | null; now: number },
): Promise<void> {
  const { now, ...rest } = change
  await on.kysely
    .updateTable('jobs')
    .set({ ...rest, updatedAt: now })
    .where('id', '=', id)
    .execute()
}

/** How many of a kind are running. */
export async function countRunning(on: Queries, kind: string): Promise<number> {
  const row = await on.kysely
    .selectFrom('jobs')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('kind', '=', kind)
    .where('state', '=', 'running')
    .executeTakeFirstOrThrow()
  return row.count
}

/** Newest first. */
export async function listJobs(on: Queries, want: { kind?: string; state?: JobState; limit: number }): Promise<Job[]> {
  let query = on.kysely.selectFrom('jobs').selectAll().orderBy('createdAt', 'desc').orderBy('id').limit(want.limit)
  if (want.kind !== undefined) query = query.where('kind', '=', want.kind)
  if (want.state !== undefined) query = query.where('state', '=', want.state)
  return (await query.execute()).map(fromRow)
}
