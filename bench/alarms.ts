// The faults of `make alerts-real` that the test suite has no time for.

import { closeSync, openSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs'
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { changed, lockOf, withLag, type Fault } from '../test/alarms.ts'
import type { Engines } from '../test/engines/engines.ts'
import { EICAR } from '../test/engines/clamd.ts'
import { diskShim, type DiskShim } from '../test/disk-shim.ts'
import { mailOf, Session } from '../test/mail.ts'
import { eventually, pause, startSystem, type System } from '../test/system.ts'
import { freePorts, GOOD_HOURS, type Program, type Watched } from '../test/watched.ts'

/** Mail counts as late after a minute. */
const LATE_MS = 68_000
const EIO = 5

/** A way to a server of this machine that can be closed: nobody comes in, and who is in is thrown out. */
export interface Road {
  port: number
  close(): Promise<void>
  open(): Promise<void>
}

export async function roadTo(port: number): Promise<Road> {
  const travellers = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      travellers.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => (travellers.delete(from), to.destroy()))
      from.pipe(to)
    }
  })
  const listen = (at: number) => new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve))
  await listen(0)
  const { port: own } = server.address() as AddressInfo
  return {
    port: own,
    open: () => listen(own),
    close() {
      for (const each of travellers) each.destroy()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

export const kafkaFrozen = ({ kafka }: Pick<Engines, 'kafka'>): Fault => ({
  name: 'Kafka is frozen',
  fires: ['MailIngestEventLogUnreachable', 'MailIngestEventPublishFailing'],
  may: ['MailIngestKafkaPublishErrors', 'MailIngestProbeFailing'],
  make: () => kafka.freeze(0),
  mend: () => kafka.thaw(0),
})

export const postgresFrozen = ({ postgres }: Pick<Engines, 'postgres'>): Fault => ({
  name: 'PostgreSQL is frozen',
  fires: ['MailIngestDatabaseUnreachable'],
  may: ['MailIngestProbeFailing'],
  make: () => postgres.freeze(),
  mend: () => postgres.thaw(),
})

export const roadClosed = (road: Road): Fault => ({
  name: 'Ceph RGW is out of reach of indexerd',
  fires: ['MailIngestObjectStoreUnreachable'],
  make: () => road.close(),
  mend: () => road.open(),
})

/** All stages in one process, for it stays up with its spool closed; smtpd alone ends. */
export const diskError = (whole: AllInOne): Fault => ({
  name: 'fsync of the spool of an all-in-one fails with EIO (shim)',
  fires: ['MailIngestSpoolPoisoned'],
  async make() {
    whole.shim.spoil(-EIO)
    const session = await Session.open(whole.system.smtpPort)
    await session.send('ann@sender.example', ['postmaster@mail.localhost'], mailOf('poison', 1000))
    session.close()
  },
  async mend() {
    whole.shim.spoil(0)
    await whole.restart()
  },
})

export interface AllInOne {
  system: System
  shim: DiskShim
  /** `host:port` of its metrics, the same after each start. */
  target: string
  restart(): Promise<void>
}

export async function startAllInOne(dataDir: string): Promise<AllInOne> {
  const [port = 0] = await freePorts(1)
  const target = `127.0.0.1:${port}`
  const shim = diskShim(dataDir, 'ingest', '/spool/log/')
  const settings = { METRICS_LISTEN: target, ...shim.env }
  const whole: AllInOne = {
    system: await startSystem(dataDir, settings),
    shim,
    target,
    async restart() {
      await whole.system.stop('SIGKILL')
      whole.system = await startSystem(dataDir, settings)
    },
  }
  return whole
}

export const slowSpool: Fault = {
  name: 'each fsync of the spool takes 0.7 s more (shim)',
  fires: ['MailIngestFsyncSlow'],
  make: ({ spoil }) => spoil('smtpd', 700_000),
  mend: ({ spoil }) => spoil('smtpd', 0),
}

export const slowObjects: Fault = {
  name: 'each fsync of the object store takes 6 s more (shim)',
  fires: ['MailIngestObjectStoreSlow'],
  may: ['MailIngestSpoolOldestMessageAge', 'MailIngestIndexBudgetBurnFast'],
  make: ({ spoil }) => spoil('uploaderd', 6_000_000),
  mend: ({ spoil }) => spoil('uploaderd', 0),
}

/** Until a publish failed; the first look of Prometheus sees it. */
export const eventLogLockedShortly: Fault = {
  name: 'the event log takes no writes for a moment',
  fires: ['MailIngestKafkaPublishErrors'],
  ...lockOf('events.db'),
}

async function startedAgain({ kill, start }: Watched, program: Program): Promise<void> {
  await kill(program)
  await start(program)
}

/** Lets `spoil` change what a mail that waits in the spool is kept in, while no uploaderd runs. `anew`: smtpd starts again after that. */
async function whileItWaits(
  watched: Watched,
  { sizeBytes, spoil, anew = false }: { sizeBytes: number; spoil: (spoolDir: string) => void; anew?: boolean },
): Promise<void> {
  await watched.kill('uploaderd')
  await sent(watched, sizeBytes)
  spoil(watched.spoolDir)
  // What is behind the last whole frame was never acknowledged, so there is another.
  await sent(watched, 1000)
  if (anew) await startedAgain(watched, 'smtpd')
  await watched.start('uploaderd')
}

const sent = (watched: Watched, sizeBytes: number): Promise<true> =>
  eventually(async () => ((await watched.send(sizeBytes)).startsWith('250') ? true : undefined), 30_000, 'a 250')

export const bodyCut: Fault = {
  name: 'the body of a large mail in the spool is cut short',
  fires: ['MailIngestSpoolAside'],
  make: (watched) =>
    whileItWaits(watched, {
      sizeBytes: 1_000_000,
      spoil(spoolDir) {
        const [body = ''] = readdirSync(join(spoolDir, 'large'))
        truncateSync(join(spoolDir, 'large', body), 1000)
      },
    }),
  async mend(watched) {
    await watched.kill('uploaderd')
    const aside = join(watched.spoolDir, 'aside')
    for (const name of readdirSync(aside)) rmSync(join(aside, name))
    await watched.start('uploaderd')
  },
}

export const bitFlipped: Fault = {
  name: 'a bit of the spool is another when its node starts anew',
  fires: ['MailIngestSpoolCorrupt'],
  make: (watched) =>
    whileItWaits(watched, {
      anew: true,
      sizeBytes: 100_000,
      spoil(spoolDir) {
        const segment = join(spoolDir, 'log', readdirSync(join(spoolDir, 'log')).sort().at(-1) ?? '')
        const bytes = readFileSync(segment)
        const at = bytes.lastIndexOf('xxxxxxxx')
        const file = openSync(segment, 'r+')
        writeSync(file, Buffer.of((bytes[at] ?? 0) ^ 1), 0, 1, at)
        closeSync(file)
      },
    }),
  mend: () => undefined,
}

export const storeLockedLong: Fault = {
  name: 'the store takes no writes for over a minute',
  fires: ['MailIngestConsumerLagGrowing', 'MailIngestConsumerStuck'],
  firesMended: ['MailIngestIndexBudgetBurnFast'],
  lastsMs: LATE_MS,
  ...withLag(lockOf('store.db')),
}

export const mailLate: Fault = {
  name: 'the store takes no writes for over a minute',
  fires: [],
  firesMended: ['MailIngestIndexBudgetBurnSlow'],
  lastsMs: LATE_MS,
  ...lockOf('store.db'),
}

/** What is lost is looked for once; a new process looks again. */
export const rowLost: Fault = {
  name: 'a row of the store is gone, and indexerd starts anew',
  fires: ['MailIngestConservationResidue'],
  async make(watched) {
    changed(
      'store.db',
      `CREATE TABLE held AS SELECT * FROM messages WHERE status = 'PARSED' ORDER BY received_at LIMIT 1;
       DELETE FROM messages WHERE id IN (SELECT id FROM held)`,
    )(watched)
    await startedAgain(watched, 'indexerd')
  },
  mend: changed('store.db', 'INSERT INTO messages SELECT * FROM held; DROP TABLE held'),
}

export const badPair: Fault = {
  name: 'the file of the certificate holds none',
  fires: ['MailIngestTlsReloadFailing'],
  make: ({ dataDir }) => writeFileSync(join(dataDir, 'cert.pem'), 'none\n'),
  mend: ({ certificate }) => certificate(GOOD_HOURS),
}

export const directoryOlder: Fault = {
  name: 'the store has an older directory than the node',
  fires: ['MailIngestDirectoryStale'],
  make: changed('store.db', 'UPDATE directory_state SET version = version - 1'),
  mend: changed('store.db', 'UPDATE directory_state SET version = version + 1'),
}

/** Stopped for most of the time, in short turns. */
export function stutters(program: Program): Fault {
  let over: AbortController
  let turning: Promise<void>
  return {
    name: `${program} is stopped for 0.4 s again and again`,
    fires: ['MailIngestEventLoopLag'],
    make({ signal }) {
      over = new AbortController()
      turning = (async () => {
        while (!over.signal.aborted) {
          signal(program, 'SIGSTOP')
          await pause(400)
          signal(program, 'SIGCONT')
          await pause(150)
        }
      })()
    },
    mend() {
      over.abort()
      return turning
    },
  }
}

export const infectedMail: Fault = {
  name: 'all mail is infected',
  fires: ['MailIngestQuarantineSpike'],
  make: ({ flow }) => void (flow.line = EICAR),
  mend: ({ flow }) => void (flow.line = ''),
}

export const noSender: Fault = {
  name: 'no sender comes, and no canary',
  fires: ['MailIngestNoMail'],
  async make({ flow, kill }) {
    flow.paused = true
    await kill('probed')
  },
  async mend({ flow, start }) {
    flow.paused = false
    await start('probed')
  },
}

/** The hourly look is not divided as the rule is. */
export const noUpkeep: Fault = {
  name: 'nobody has looked for old data since the start of indexerd',
  fires: ['MailIngestRetentionStale'],
  make: (watched) => startedAgain(watched, 'indexerd'),
  mend: (watched) => startedAgain(watched, 'indexerd'),
}
