// What is broken under the eyes of Prometheus and mended again, and the alerts that follow.

import { execFileSync } from 'node:child_process'
import { renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { eventually, pause } from './system.ts'
import { firing, GOOD_HOURS, type Program, type Watched } from './watched.ts'

/** Something that is broken and mended, and the alerts that must follow. */
export interface Fault {
  name: string
  fires: readonly string[]
  /** What fires when it is over: what was late is counted then. */
  firesMended?: readonly string[]
  /** What may come with it. */
  may?: readonly string[]
  /** It is not mended before, milliseconds. */
  lastsMs?: number
  make(watched: Watched): Promise<void> | void
  mend(watched: Watched): Promise<void> | void
}

export type Hands = Pick<Fault, 'make' | 'mend'>

/** How an alert took a fault. */
export interface Course {
  alert: string
  fault: string
  /** How long the making of the fault itself took, seconds. */
  madeS: number
  /** From the beginning of the fault until Alertmanager told that it fires, seconds; undefined if it did not in time. */
  firedS?: number
  /** From the mending until it told that the alert is over. */
  resolvedS?: number
}

interface Made {
  fault: Fault
  /** On the clock of `performance.now`. */
  began: number
  madeS: number
}

/** Every alert that faults may bring. */
export const expectedOf = (faults: readonly Fault[]): string[] =>
  faults.flatMap(({ fires, firesMended = [], may = [] }) => [...fires, ...firesMended, ...may])

/**
 * Makes the faults one after the other, then waits for the alerts of all at once and mends each fault when its own have fired. Resolves
 * when all are mended, with the courses, which resolve when their alerts are over. Nothing waits for more than `waitMs`.
 */
export async function courses(
  watched: Watched,
  faults: readonly Fault[],
  waitMs: number,
): Promise<{ over: Promise<Course[]> }> {
  const made: Made[] = []
  for (const fault of faults) {
    const began = performance.now()
    await fault.make(watched)
    made.push({ fault, began, madeS: secondsSince(began) })
  }
  const mended = await Promise.all(made.map((each) => untilMended(watched, each, waitMs)))
  return { over: Promise.all(mended.map(({ over }) => over)).then((found) => found.flat()) }
}

/** Waits for the alerts of one fault and mends it. */
async function untilMended(
  watched: Watched,
  { fault, began, madeS }: Made,
  waitMs: number,
): Promise<{ over: Promise<Course[]> }> {
  const fired = (alerts: readonly string[]) =>
    Promise.all(
      alerts.map(async (alert): Promise<Course> => {
        const firedS = await told(watched, alert, { began, waitMs })
        return { alert, fault: fault.name, madeS, ...(firedS !== undefined && { firedS }) }
      }),
    )
  const rows = await fired(fault.fires)
  await pause(Math.max(0, (fault.lastsMs ?? 0) - (performance.now() - began)))
  const mending = performance.now()
  await fault.mend(watched)
  rows.push(...(await fired(fault.firesMended ?? [])))
  const ended = rows.map(async (row) => {
    if (row.firedS === undefined) return row
    const resolvedS = await told(watched, row.alert, { began: mending, waitMs, gone: true })
    return { ...row, ...(resolvedS !== undefined && { resolvedS }) }
  })
  return { over: Promise.all(ended) }
}

const secondsSince = (began: number): number => (performance.now() - began) / 1000
/** Seconds since `began` when the alert fires, or is gone; undefined if that takes too long. */
async function told(
  watched: Watched,
  alert: string,
  { began, waitMs, gone = false }: { began: number; waitMs: number; gone?: boolean },
): Promise<number | undefined> {
  for (const end = performance.now() + waitMs; performance.now() < end; await pause(100)) {
    if (firing(watched.told).includes(alert) !== gone) return secondsSince(began)
  }
  return undefined
}

/** Writes of a SQLite file wait until it is given back. */
export function lockOf(file: string): Hands {
  let holder: Database.Database | undefined
  return {
    make({ dataDir }) {
      holder = new Database(join(dataDir, file), { timeout: 10_000 })
      holder.exec('BEGIN IMMEDIATE')
    },
    mend() {
      holder?.exec('ROLLBACK')
      holder?.close()
    },
  }
}

/** A fault that is only made when enough events wait. */
export function withLag({ make, mend }: Hands): Hands {
  return {
    mend,
    async make(watched) {
      const { flow } = watched
      const { everyMs } = flow
      await make(watched)
      flow.everyMs = 5
      const enough = async () => ((await valueOf(watched, LAG)) > 120 ? true : undefined)
      await eventually(enough, 120_000, 'a lag of 120')
      flow.everyMs = everyMs
    },
  }
}

const LAG = 'max(mail_ingest_consumer_lag_messages{group="indexer"})'

/** The first value of an expression; 0 where there is none. */
export const valueOf = async ({ prometheus }: Watched, expression: string): Promise<number> =>
  (await prometheus.query(expression))[0]?.value ?? 0

export function changed(file: string, statement: string): (watched: Watched) => void {
  return ({ dataDir }) => {
    const database = new Database(join(dataDir, file), { timeout: 10_000 })
    database.exec(statement)
    database.close()
  }
}

export const killed = (program: Program, fires: readonly string[], may: readonly string[] = []): Fault => ({
  name: `${program} is killed`,
  fires,
  may,
  make: ({ kill }) => kill(program),
  mend: ({ start }) => start(program),
})

export const clamdKilled: Fault = {
  name: 'clamd is killed',
  fires: ['MailIngestScannerDown'],
  make: ({ clamd }) => clamd.kill(),
  mend: ({ clamd }) => clamd.start(),
}

export const certificateEnds = (hours: number): Fault => ({
  name: 'the certificate ends soon',
  fires: ['MailIngestTlsCertExpiry'],
  make: ({ certificate }) => certificate(hours),
  mend: ({ certificate }) => certificate(GOOD_HOURS),
})

const unreadable = changed(
  'events.db',
  `BEGIN IMMEDIATE;
   INSERT INTO events (topic, event_offset, id, type, subject, entry_id, trace_id, tenant, time, appended_at, headers, data)
   SELECT topic, next_offset, 'bad', type, subject, entry_id, trace_id, tenant, time, partitions.appended_at, headers, '{'
   FROM events JOIN partitions USING (topic) WHERE topic = 'mail.ingest.v1' LIMIT 1;
   UPDATE partitions SET next_offset = next_offset + 1 WHERE topic = 'mail.ingest.v1';
   COMMIT`,
)

/** The record is there once it is counted, so that another fault may come. */
export const deadLetter: Fault = {
  name: 'a record of the event log that nobody can read',
  fires: ['MailIngestDeadLetters'],
  async make(watched) {
    unreadable(watched)
    const counted = async () => ((await valueOf(watched, 'sum(mail_ingest_dead_letters_total)')) > 0 ? true : undefined)
    await eventually(counted, 60_000, 'a dead letter')
  },
  mend: () => undefined,
}

export const outboxRefused: Fault = {
  name: 'an event that the log refuses',
  fires: ['MailIngestOutboxRefused'],
  make: changed(
    'store.db',
    `INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload, created_at, refused)
     VALUES ('x', 'message', 'x', 'indexer.indexed', '{}', 0, 'too large')`,
  ),
  mend: changed('store.db', `DELETE FROM outbox WHERE id = 'x'`),
}

/** There is mail that waits for it, whatever is broken next. */
export const eventLogLocked: Fault = {
  name: 'the event log takes no writes',
  fires: ['MailIngestKafkaPublishErrors', 'MailIngestEventPublishFailing', 'MailIngestSpoolOldestMessageAge'],
  may: ['MailIngestProbeFailing', 'MailIngestConsumerStuck', 'MailIngestIndexBudgetBurnFast'],
  ...afterwards(lockOf('events.db'), 1000),
}

function afterwards({ make, mend }: Hands, ms: number): Hands {
  return {
    mend,
    async make(watched) {
      await make(watched)
      await pause(ms)
    },
  }
}

export const storeLocked: Fault = {
  name: 'the store takes no writes',
  fires: ['MailIngestConsumerLagGrowing', 'MailIngestConsumerStuck', 'MailIngestProbeFailing'],
  may: ['MailIngestIndexBudgetBurnFast'],
  ...withLag(lockOf('store.db')),
}

export const objectsGone: Fault = {
  name: 'the object store is gone',
  fires: ['MailIngestObjectStoreErrors', 'MailIngestSpoolOldestMessageAge'],
  may: ['MailIngestObjectStoreUnreachable'],
  make({ dataDir }) {
    renameSync(join(dataDir, 'objects'), join(dataDir, 'objects.away'))
    writeFileSync(join(dataDir, 'objects'), 'no directory')
  },
  mend({ dataDir }) {
    rmSync(join(dataDir, 'objects'))
    renameSync(join(dataDir, 'objects.away'), join(dataDir, 'objects'))
  },
}

export const diskFills: Fault = {
  name: 'the disk fills',
  fires: [
    'MailIngestSpoolDiskLow',
    'MailIngestSpoolDiskFillsSoon',
    'MailIngestAcceptBudgetBurnFast',
    'MailIngestProbeFailing',
  ],
  may: ['MailIngestAcceptBudgetBurnSlow'],
  make({ spoolDir }) {
    const { bavail, bsize } = statfsSync(spoolDir)
    execFileSync('fallocate', ['-l', String(bavail * bsize - 2 * 1024 * 1024), join(spoolDir, '..', 'ballast')])
  },
  mend: ({ spoolDir }) => rmSync(join(spoolDir, '..', 'ballast')),
}

export const PROCESSES: readonly Fault[] = [
  killed('smtpd', ['MailIngestSmtpdDown', 'MailIngestInstanceDown', 'MailIngestProbeFailing']),
  killed('uploaderd', ['MailIngestUploaderdDown']),
  killed('indexerd', ['MailIngestIndexerdDown'], ['MailIngestConsumerStuck']),
]
