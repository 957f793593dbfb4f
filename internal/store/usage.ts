// What tenants have of what they may have. The database counts (step 0007-quotas); here it is read.

import { sql, type RawBuilder, type SqlBool } from 'kysely'
import type { Queries } from './database.ts'
import type { Quotas, Usage } from './rows.ts'

const DAY_MS = 86_400_000
/** Tenants or ids in one question. */
const AT_ONCE = 500

/** The UTC day of a time in milliseconds, counted from 1970. */
export const dayOf = (ms: number): number => Math.floor(ms / DAY_MS)

/** A tenant that has a quota. */
export interface LimitedTenant {
  tenant: string
  quotas: Quotas
  usage: Usage
}

/** As the index of such tenants says it. */
const LIMITED = sql<SqlBool>`(messages_per_day is not null or bytes_per_day is not null or stored_bytes is not null)`

const NOTHING: Usage = { messages: 0, bytes: 0, storedBytes: 0 }

const total = (column: 'messages' | 'bytes'): RawBuilder<number> => sql<number>`cast(sum(${sql.ref(column)}) as bigint)`

/** Usage of these tenants, as of `day`; every one is in it. */
export async function usageOf(on: Queries, tenants: readonly string[], day: number): Promise<Map<string, Usage>> {
  const found = new Map(tenants.map((tenant) => [tenant, { ...NOTHING }]))
  for (let at = 0; at < tenants.length; at += AT_ONCE) {
    const some = tenants.slice(at, at + AT_ONCE)
    const came = await on.kysely
      .selectFrom('usageDays')
      .select(['tenant', total('messages').as('messages'), total('bytes').as('bytes')])
      .where('tenant', 'in', some)
      .where('day', '=', day)
      .groupBy('tenant')
      .execute()
    const kept = await on.kysely
      .selectFrom('usageStored')
      .select(['tenant', total('bytes').as('storedBytes')])
      .where('tenant', 'in', some)
      .groupBy('tenant')
      .execute()
    for (const { tenant, ...counts } of [...came, ...kept]) Object.assign(found.get(tenant) ?? {}, counts)
  }
  return found
}

/** Every tenant that has a quota, with its usage as of `day`, in order of slugs. */
export async function* limitedTenants(on: Queries, day: number): AsyncGenerator<LimitedTenant> {
  for (let after = ''; ;) {
    const rows = await on.kysely
      .selectFrom('tenants')
      .select(['slug', 'messagesPerDay', 'bytesPerDay', 'storedBytes'])
      .where('slug', '>', after)
      .where(LIMITED)
      .orderBy('slug')
      .limit(AT_ONCE)
      .execute()
    const usage = await usageOf(
      on,
      rows.map(({ slug }) => slug),
      day,
    )
    for (const { slug, ...quotas } of rows) yield { tenant: slug, quotas, usage: usage.get(slug) ?? NOTHING }
    const last = rows.at(-1)
    if (last === undefined || rows.length < AT_ONCE) return
    after = last.slug
  }
}

/** Those of these ids of which there is a message. */
export async function messagesThere(on: Queries, ids: readonly string[]): Promise<string[]> {
  const there: string[] = []
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE)
    const rows = await on.kysely.selectFrom(on.dialect.placeTable).select('id').where('id', 'in', some).execute()
    there.push(...rows.map(({ id }) => id))
  }
  return there
}

/** Forgets what came before `day`; what is kept stays counted. */
export async function dropUsageDays(on: Queries, day: number): Promise<void> {
  await on.kysely.deleteFrom('usageDays').where('day', '<', day).execute()
}
