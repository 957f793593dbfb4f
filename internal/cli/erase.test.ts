// A tenant is erased, and nothing else. On the real engines: test/operations.engine.test.ts.

import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { clock, indexed, openDesk, type Desk } from './testing/desk.ts'
import { createTenant, joinThread, projectEvents, type Store } from '../store/store.ts'

/** Rows that name the tenant, in every table that can; the mark of its erasure is to stay. */
async function rowsOf(store: Store, tenant: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const { name, columns } of await store.kysely.introspection.getTables()) {
    const column = columns.find((each) => each.name === 'tenant')?.name ?? (name === 'tenants' ? 'slug' : undefined)
    if (column === undefined || name === 'erasures') continue
    const count = sql<{ n: number }>`select count(*) as n from ${sql.table(name)} where ${sql.ref(column)} = ${tenant}`
    const { rows } = await count.execute(store.kysely)
    found[name] = Number(rows[0]?.n)
  }
  return found
}

const objectsOf = async ({ blobs }: Desk, tenant: string): Promise<number> => {
  let count = 0
  for await (const _ of blobs.list(`${tenant}/`)) count += 1
  return count
}

/** Two tenants with mail, one of which has everything that a tenant can have. */
async function furnished(): Promise<Desk> {
  const desk = await openDesk()
  await desk.store.transaction((tx) => createTenant(tx, { slug: 'globex', now: clock.now() }))
  for (const tenant of ['acme', 'globex']) {
    const { id } = await indexed(desk, { tenant }, { filename: 'a.csv', content: Buffer.from(tenant) })
    await indexed(desk, { tenant })
    await desk.store.transaction(async (tx) => {
      await joinThread(tx, tenant, [`<${tenant}@x>`])
      await projectEvents(tx, [eventRow(tenant, id)])
      await tx.kysely.insertInto('deliveryReports').values(reportRow(tenant, id)).execute()
      await tx.kysely.insertInto('outbound').values(outboundRow(tenant, id)).execute()
    })
  }
  for (const line of [
    'domains add globex.example --tenant globex',
    'mailboxes add sales@globex.example --tenant globex',
    'mailboxes add all@mail.localhost --tenant globex',
    'domains set mail.localhost --catch-all all@mail.localhost',
    'credentials add shop --tenant globex',
    'policy set globex --spf-fail quarantine',
    'senders allow ann@example.org --tenant globex',
  ])
    expect(await desk.run(line)).toMatchObject({ status: 0 })
  return desk
}

const reportRow = (tenant: string, messageId: string) => {
  const nothing = { originalMessageId: null, originalEnvelopeId: null, reportingMta: null, arrivalDate: null }
  return { messageId, tenant, ...nothing, recipients: '[]' }
}

const outboundRow = (tenant: string, aboutMessageId: string) => {
  const at = { nextAt: 1, createdAt: 1, updatedAt: 1 }
  const about = { aboutMessageId, headerMessageId: `<reply-${tenant}@x>`, mail: '{}', lastResult: null }
  return {
    id: `reply-${tenant}`,
    tenant,
    purpose: 'auto_reply' as const,
    state: 'pending' as const,
    attempts: 0,
    ...about,
    ...at,
  }
}

function eventRow(tenant: string, messageId: string) {
  const at = clock.now()
  const place = { topic: 'mail.ingest.v1', partition: tenant === 'acme' ? 0 : 1, offset: 0, appendedAt: at, time: at }
  const ids = { id: `event-${tenant}`, entryId: null, traceId: 't', traceparent: 't', replayId: null }
  return { ...place, ...ids, type: 'ingest.received', subject: messageId, tenant, source: 's', data: {} }
}

describe('tenants erase', () => {
  test('counts, and does nothing, in a dry run, without an answer and at a wrong one', async () => {
    const desk = await furnished()
    const before = await rowsOf(desk.store, 'globex')
    expect(await desk.json('tenants erase globex --dry-run')).toEqual({
      tenant: 'globex',
      messages: 2,
      documents: 1,
      events: 1,
      mailboxes: 2,
      domains: 1,
      credentials: 1,
      objects: 5,
      objectBytes: expect.any(Number) as number,
    })
    const unasked = await desk.run('tenants erase globex')
    expect(unasked).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('2 messages, 1 document, 5 objects') as string,
    })
    expect(await rowsOf(desk.store, 'globex')).toEqual(before)
    expect(await objectsOf(desk, 'globex')).toBe(5)
  })

  test('leaves nothing of it, all of the others, and a mark', async () => {
    const desk = await furnished()
    // A name that begins with the other's.
    await indexed(desk, { tenant: 'globex-two' })
    const held = (tenant: string) => Promise.all([rowsOf(desk.store, tenant), objectsOf(desk, tenant)])
    const others = [await held('acme'), await held('globex-two')]
    const had = await rowsOf(desk.store, 'globex')
    // What can hold a tenant's data holds some, so that a table that is forgotten is found.
    expect(Object.entries(had).filter(([, count]) => count === 0)).toEqual([['message_keys', 0]])
    expect(await desk.run('tenants erase globex --yes')).toMatchObject({ status: 0 })
    expect(Object.values(await rowsOf(desk.store, 'globex')).filter((count) => count > 0)).toEqual([])
    expect(await objectsOf(desk, 'globex')).toBe(0)
    expect([await held('acme'), await held('globex-two')]).toEqual(others)
    expect((await desk.run('domains list --plain')).stdout).not.toContain('all@mail.localhost')
    const mailboxes = await desk.store.kysely.selectFrom('messageMailboxes').select('mailbox').execute()
    expect(mailboxes.filter(({ mailbox }) => mailbox.includes('globex@'))).toEqual([])

    expect(await desk.run('tenants add globex')).toMatchObject({ status: 5 })
    expect(await desk.run('tenants erase globex --yes')).toMatchObject({ status: 0 })
    await desk.store.transaction((tx) => projectEvents(tx, [eventRow('globex', 'again')]))
    expect((await rowsOf(desk.store, 'globex'))['events']).toBe(0)
  })

  test.each([
    ['nobody', 3, 'no tenant'],
    ['..', 3, 'no tenant'],
    ['acme', 5, 'the only tenant'],
  ])('%s ends with %i', async (slug, status, text) => {
    const desk = await openDesk()
    expect(await desk.run(`tenants erase ${slug} --yes`)).toMatchObject({
      status,
      stderr: expect.stringContaining(text) as string,
    })
  })

  test('interrupted, it says how to go on, and goes on', async () => {
    const desk = await furnished()
    const stop = AbortSignal.abort()
    const stopped = await desk.run('tenants erase globex --yes', { signal: stop })
    expect(stopped).toMatchObject({
      status: 130,
      stderr: expect.stringContaining('ingestctl tenants erase globex') as string,
    })
    expect((await rowsOf(desk.store, 'globex'))['messages']).toBe(2)
    expect(await desk.run('tenants erase globex --yes')).toMatchObject({ status: 0 })
    expect((await rowsOf(desk.store, 'globex'))['messages']).toBe(0)
  })
})
