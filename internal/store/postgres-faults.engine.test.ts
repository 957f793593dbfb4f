// A real PostgreSQL that restarts, dies, freezes, is slow or is full: trouble is told in time, nothing is half done, and work goes on.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { sql } from 'kysely'
import { describe, expect, test } from 'vitest'
import { createTenant, isUnavailable, listTenants } from './store.ts'
import { reasonOf } from './testing/draft.ts'
import { freshStore, missing, sharedBed, until } from './testing/postgres-bed.ts'

describe.skipIf(missing)(`faults of PostgreSQL ${missing ?? ''}`, () => {
  const bed = sharedBed()

  describe('trouble', () => {
    const store = freshStore(bed, { poolMax: 2, connectTimeoutMs: 400, statementTimeoutMs: 500 })

    test('a server that restarts in mid-work: unavailable, nothing half done, and then it goes on', async () => {
      const broken = store().transaction(async (tx) => {
        await createTenant(tx, { slug: 'a', now: 1 })
        await bed().server.restart()
        await createTenant(tx, { slug: 'b', now: 1 })
      })
      expect(await reasonOf(broken)).toBe('unavailable')
      await until(async () => (await reasonOf(listTenants(store()))) === 'none')
      expect(await listTenants(store())).toEqual([])
      expect(await reasonOf(store().transaction((tx) => createTenant(tx, { slug: 'a', now: 1 })))).toBe('none')
    })

    test('a killed server: what was acknowledged is there, what was not is refused in time', async () => {
      const acknowledged: string[] = []
      const stopping = new AbortController()
      const writer = (async () => {
        for (let n = 0; !stopping.signal.aborted; n++) {
          const reason = await reasonOf(createTenant(store(), { slug: `a${n}`, now: 1 }))
          if (reason === 'none') acknowledged.push(`a${n}`)
          else expect(reason).toBe('unavailable')
        }
      })()
      await until(async () => acknowledged.length > 20)
      await bed().server.kill()
      await sleep(200)
      await bed().server.restart()
      const before = acknowledged.length
      await until(async () => acknowledged.length > before + 5)
      stopping.abort()
      await writer
      const there = new Set((await listTenants(store())).map((tenant) => tenant.slug))
      expect(acknowledged.filter((slug) => !there.has(slug))).toEqual([])
    })

    test('a frozen server: unavailable in time, and the same store works once it thaws', async () => {
      expect(await reasonOf(listTenants(store()))).toBe('none')
      await bed().server.freeze()
      try {
        const began = performance.now()
        const lost = await Promise.all([
          reasonOf(listTenants(store())),
          reasonOf(store().transaction((tx) => createTenant(tx, { slug: 'a', now: 1 }))),
        ])
        expect(lost).toEqual(['unavailable', 'unavailable'])
        expect(performance.now() - began).toBeLessThan(8000)
      } finally {
        await bed().server.thaw()
      }
      await until(async () => (await reasonOf(createTenant(store(), { slug: 'b', now: 1 }))) === 'none')
      expect((await listTenants(store())).map((tenant) => tenant.slug)).toEqual(['b'])
    })

    test('a statement that takes too long is ended by the server', async () => {
      const slow = sql`select pg_sleep(5)`.execute(store().kysely)
      await expect(slow).rejects.toThrow(/statement timeout/)
      expect(await reasonOf(slow)).toBe('unavailable')
      expect(await reasonOf(listTenants(store()))).toBe('none')
    })

    test('a table that is away: unavailable, and then it goes on', async () => {
      await bed().server.psql('alter table tenants rename to tenants_away', bed().database)
      expect(await reasonOf(listTenants(store()))).toBe('unavailable')
      await bed().server.psql('alter table tenants_away rename to tenants', bed().database)
      expect(await reasonOf(listTenants(store()))).toBe('none')
    })

    test.each<['ahead'?]>([[], ['ahead']])(
      'a lock that is not let go of: unavailable, and then it goes on (%s)',
      async (ahead) => {
        const other = await bed().open()
        const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
        const { promise: holding, resolve: holds } = Promise.withResolvers<void>()
        const holder = other.transaction(async (tx) => {
          await tx.dialect.serialise(tx, ['a'])
          holds()
          await held
        })
        await holding
        const want = () => reasonOf(store().transaction((tx) => tx.dialect.serialise(tx, ['b', 'a'], ahead)))
        expect(await want()).toBe('unavailable')
        letGo()
        await holder
        expect(await want()).toBe('none')
        await other.close()
      },
    )

    test('two transactions that wait for each other: one gives way, and both are done in the end', async () => {
      const patient = await bed().open({ statementTimeoutMs: 10_000 })
      const reasons: string[] = []
      let holding = 0
      const cross = async (first: string, second: string) => {
        for (let reason = ''; reason !== 'none'; reasons.push(reason)) {
          const crossing = patient.transaction(async (tx) => {
            await tx.dialect.serialise(tx, [first])
            holding += 1
            await until(async () => holding >= 2)
            await tx.dialect.serialise(tx, [second])
          })
          reason = await reasonOf(crossing)
        }
      }
      await Promise.all([cross('a', 'b'), cross('b', 'a')])
      expect(reasons.sort()).toEqual(['none', 'none', 'unavailable'])
      await patient.close()
    })

    test('a statement that was prepared before a migration changed its table: unavailable once at most, then it goes on', async () => {
      const store = await bed().open({ poolMax: 1 })
      const look = () => reasonOf(listTenants(store))
      for (let n = 0; n < 5; n++) expect(await look()).toBe('none')
      await bed().server.psql('alter table tenants add column later int', bed().database)
      const after = [await look(), await look(), await look()]
      expect([after[0], ...after.slice(1)]).toEqual([expect.stringMatching(/none|unavailable/), 'none', 'none'])
      await store.close()
    })

    test('more work than connections waits its turn; what waits too long is unavailable', async () => {
      const quick = Array.from({ length: 20 }, (_, n) => reasonOf(createTenant(store(), { slug: `a${n}`, now: 1 })))
      // Unused ones stay open, so that what is there afterwards is the most that there was.
      expect(new Set(await Promise.all(quick))).toEqual(new Set(['none']))
      const open = `select count(*) from pg_stat_activity where datname = '${bed().database}'`
      expect(await bed().server.psql(open)).toBe('2')
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
      const holders = [1, 2].map(() => store().transaction(() => held))
      expect(await reasonOf(listTenants(store()))).toBe('unavailable')
      letGo()
      await Promise.all(holders)
      expect(await reasonOf(listTenants(store()))).toBe('none')
    })

    test('a connection that is killed in mid-transaction: nothing of it is there, and the next one is whole', async () => {
      const killed = store().transaction(async (tx) => {
        await createTenant(tx, { slug: 'a', now: 1 })
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx.kysely)
        await bed().server.psql(`select pg_terminate_backend(${rows[0]?.pid})`)
        await createTenant(tx, { slug: 'b', now: 1 })
      })
      expect(await reasonOf(killed)).toBe('unavailable')
      expect(await listTenants(store())).toEqual([])
      const whole = store().transaction(async (tx) => {
        for (const slug of ['a', 'b']) await createTenant(tx, { slug, now: 1 })
      })
      expect(await reasonOf(whole)).toBe('none')
    })

    test('connections that break while nobody uses them are replaced', async () => {
      await Promise.all([listTenants(store()), listTenants(store())])
      await bed().server.psql(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'mail-ingest'`,
      )
      await sleep(50)
      expect(await reasonOf(listTenants(store()))).toBe('none')
    })

    test('an error that is swallowed within a transaction does not pass for a commit', async () => {
      const swallowing = store().transaction(async (tx) => {
        await createTenant(tx, { slug: 'a', now: 1 })
        await reasonOf(sql`select 1 / 0`.execute(tx.kysely))
      })
      await expect(swallowing).rejects.toThrow()
      expect(await listTenants(store())).toEqual([])
    })
  })

  describe('single runner', () => {
    const store = freshStore(bed)

    test('one at a time among stores, each in its turn', async () => {
      const other = await bed().open()
      const never = new AbortController().signal
      let inside = 0
      let most = 0
      const work = async () => {
        most = Math.max(most, ++inside)
        await sleep(20)
        inside -= 1
      }
      const runs = Array.from({ length: 6 }, (_, n) => (n % 2 === 0 ? store() : other).singleRunner('job', work, never))
      await Promise.all([...runs, other.singleRunner('another job', async () => {}, never)])
      expect(most).toBe(1)
      await other.close()
    })

    test('one that waits can be stopped; the next gets the turn', async () => {
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
      const never = new AbortController().signal
      const { promise: working, resolve: works } = Promise.withResolvers<void>()
      const work = async () => {
        works()
        await held
      }
      const first = store().singleRunner('job', work, never)
      await working
      const stopping = new AbortController()
      const second = store().singleRunner('job', async () => 'second', stopping.signal)
      const third = store().singleRunner('job', async () => 'third', never)
      setTimeout(() => stopping.abort(new Error('stopped')), 50)
      await expect(second).rejects.toThrow('stopped')
      letGo()
      await first
      expect(await third).toBe('third')
    })

    test.each([
      ['that works', false],
      ['that waits for its turn', true],
    ])('one %s lets go of a server that is frozen', async (_which, waits) => {
      const { promise: held, resolve: letGo } = Promise.withResolvers<void>()
      const never = new AbortController().signal
      const { promise: working, resolve: works } = Promise.withResolvers<void>()
      const work = async (signal: AbortSignal) => {
        works()
        await Promise.race([held, new Promise((resolve) => signal.addEventListener('abort', resolve))])
      }
      const stopping = new AbortController()
      const first = store().singleRunner('job', work, waits ? never : stopping.signal)
      await working
      const second = waits ? store().singleRunner('job', work, stopping.signal) : Promise.resolve()
      if (waits) await sleep(200)
      await bed().server.freeze()
      try {
        const began = performance.now()
        stopping.abort(new Error('stopped'))
        await Promise.allSettled([waits ? second : first])
        expect(performance.now() - began).toBeLessThan(1000)
      } finally {
        await bed().server.thaw()
        letGo()
        await first
      }
    })

    test('work whose connection is lost is told, since another may have begun', async () => {
      const work = async (signal: AbortSignal) => {
        await bed().server.psql(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'`)
        await until(async () => signal.aborted)
        signal.throwIfAborted()
      }
      const lost = await store()
        .singleRunner('job', work, new AbortController().signal)
        .catch((error: unknown) => error)
      expect(isUnavailable(lost)).toBe(true)
      expect(String(lost)).toMatch(/turn of job is lost/)
    })

    test('a holder that is frozen loses its turn, one that lives keeps it', async () => {
      const short = { silenceMs: 1500 }
      const next = await bed().open(short)
      const frozen = await frozenHolder(bed().url, short)
      try {
        let other: Promise<string> | undefined
        const work = async () => {
          other = store().singleRunner('job', async () => 'the third', new AbortController().signal)
          return Promise.race([other, sleep(3 * short.silenceMs, 'kept')])
        }
        expect(await next.singleRunner('job', work, AbortSignal.timeout(10_000))).toBe('kept')
        expect(await other).toBe('the third')
      } finally {
        frozen.kill('SIGKILL')
        await next.close()
      }
    })
  })
})

/** A process that is stopped while it has the turn. */
async function frozenHolder(url: string, options: { silenceMs: number }): Promise<ChildProcess> {
  const program = `
    const { openPostgresStore } = await import(${JSON.stringify(import.meta.resolve('./postgres.ts'))})
    const clock = { sleep: (ms) => new Promise((done) => setTimeout(done, ms)) }
    const store = await openPostgresStore({ clock, ...${JSON.stringify({ url, ...options })} })
    await store.singleRunner('job', () => new Promise(() => console.log('held')), new AbortController().signal)`
  const holder = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(holder.stdout, 'data')
  holder.kill('SIGSTOP')
  return holder
}
