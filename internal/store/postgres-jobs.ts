// What needs a connection of its own beside the pool: partitions made on demand, and work that one process does at a time.

import { Client, type ClientConfig } from 'pg'
import type { Clock } from '../ports/ports.ts'
import { lockOf } from './dialect.ts'
import { StoreError } from './errors.ts'
import { translated } from './postgres-connection.ts'

/** Months made after the one that is wanted, so that a new month begins with its partition there. */
const MONTHS_AHEAD = 2

/** What gets its partitions at the same time as each table. */
const TOGETHER = { messages: ['messages', 'search_index'], events: ['events'] } as const
type ByMonth = keyof typeof TOGETHER

export interface MonthMaker {
  /** Makes the partitions of the month that a time is in, at its first row. */
  make(table: ByMonth, at: number): Promise<void>
  /** Looks again whether they are there. */
  forget(): void
}

export function monthMaker(config: ClientConfig): MonthMaker {
  // Every month that rows came in: two dozen a year.
  const made = new Map<string, Promise<void>>()
  // One after the other, on one connection at a time.
  let last: Promise<unknown> = Promise.resolve()
  const next = (table: ByMonth, day: Date) => {
    const making = last.then(() => makeMonths(config, table, day))
    last = Promise.allSettled([making])
    return making
  }
  return {
    async make(table, at) {
      const day = new Date(at)
      const month = `${table} ${day.getUTCFullYear()} ${day.getUTCMonth()}`
      const known = made.get(month) ?? next(table, day)
      made.set(month, known)
      try {
        await known
      } catch (error) {
        made.delete(month)
        throw error
      }
    },
    forget: () => made.clear(),
  }
}

/** Not within the caller's transaction: others must see the new tables, and no lock may be held until that one ends. */
async function makeMonths(config: ClientConfig, table: ByMonth, day: Date): Promise<void> {
  await onOwnConnection(config, async (client) => {
    for (let ahead = 0; ahead <= MONTHS_AHEAD; ahead++) {
      const month = Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + ahead)
      await client.query('select make_month($1, $2)', [month, TOGETHER[table]])
    }
  })
}

async function onOwnConnection<T>(config: ClientConfig, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client(config)
  // A connection that breaks between statements fails the next one.
  client.on('error', () => {})
  return translated(async () => {
    try {
      await client.connect()
      return await work(client)
    } finally {
      await leave(client)
    }
  })
}

/** Says goodbye and waits for no answer: a server that is frozen gives none. */
async function leave(client: Client): Promise<void> {
  const { stream } = client.connection
  stream.once('finish', () => stream.destroy())
  await client.end()
}

export interface SingleRun<T> {
  name: string
  work: (signal: AbortSignal) => Promise<T>
  signal: AbortSignal
  clock: Pick<Clock, 'sleep'>
  /** A process that is frozen keeps its connection: one that says nothing for so long has lost its turn. */
  silenceMs: number
}

/** A machine that is gone says nothing: both ends ask after so long, and give up after three answers that do not come. */
const KEEPALIVE_MS = 5000
/** The same on the server, which also looks so often whether one that waits for its turn is still there. */
const SERVER_CHECKS = [
  "set client_connection_check_interval = '5s'",
  "set tcp_keepalives_idle = '5s'",
  "set tcp_keepalives_interval = '2s'",
  'set tcp_keepalives_count = 3',
].join(';')
/** The time of a silence over that of a word. */
const WORDS = 3

/**
 * Holds a session's advisory lock while it works; the server lets go of it when the connection ends, however it does, and ends
 * it when the holder says nothing for `silenceMs`.
 */
export async function singleRunner<T>(config: ClientConfig, run: SingleRun<T>): Promise<T> {
  const { name, work, signal, clock, silenceMs } = run
  const client = new Client({
    ...config,
    statement_timeout: 0,
    query_timeout: 0,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
  })
  const over = new AbortController()
  const saying = new AbortController()
  const lost = (error?: Error) =>
    over.abort(new StoreError('unavailable', `the turn of ${name} is lost with its connection`, { cause: error }))
  client.on('error', lost)
  client.on('end', () => lost())
  const stop = () => {
    over.abort(signal.reason)
    // A session that connects or waits for its turn ends with its connection.
    client.connection.stream.destroy()
  }
  return translated(async () => {
    try {
      signal.throwIfAborted()
      signal.addEventListener('abort', stop, { once: true })
      await client.connect()
      signal.throwIfAborted()
      await client.query(`${SERVER_CHECKS};set idle_session_timeout = ${silenceMs}`)
      await client.query('select pg_advisory_lock($1)', [lockOf(`single runner ${name}`).toString()])
      signal.removeEventListener('abort', stop)
      void Promise.allSettled([saysWords(client, { clock, everyMs: silenceMs / WORDS, signal: saying.signal })])
      return await work(AbortSignal.any([signal, over.signal]))
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      saying.abort()
      signal.removeEventListener('abort', stop)
      await leave(client)
    }
  })
}

/** Says a word each `everyMs` until the signal aborts. Rejects then, and when the connection is lost, which says so itself. */
async function saysWords(client: Client, { clock, everyMs, signal }: Words): Promise<never> {
  for (;;) {
    await clock.sleep(everyMs, signal)
    await client.query('select')
  }
}

interface Words {
  clock: Pick<Clock, 'sleep'>
  everyMs: number
  signal: AbortSignal
}
