// doctor: is this machine fit to run the product? One line for each check; what is not ok says what to do.

import { constants } from 'node:fs'
import { access, open, statfs, unlink } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { engineOf } from '../config/config.ts'
import { stepText } from '../eventlog/eventlog.ts'
import type { Context } from './context.ts'
import { exitFor, type Exit } from './exit.ts'
import { lockFindings } from './locks.ts'
import { countText, durationText, sizeText } from './quantity.ts'
import { answerOf } from './status.ts'
import type { Call } from './tree.ts'

type Level = 'ok' | 'warn' | 'fail'

export interface Finding {
  check: string
  level: Level
  text: string
  /** What to do; empty when all is well. */
  todo: string
}

type Check = (context: Context) => Promise<Finding[]> | Finding[] | Finding

const finding = (check: string, level: Level, text: string, todo = ''): Finding => ({ check, level, text, todo })

const NODE_MAJOR_MIN = 24
/** A slower fsync makes every reply wait; a disk that claims to need none is not trusted either. */
const FSYNC_SLOW_MS = 50
const FSYNC_TRIES = 5
const INODES_WARN = 100_000
/** No clock of a machine that runs this is before the release. */
const CLOCK_EARLIEST = '2026-01-01T00:00:00.000Z'

export async function doctor(call: Call): Promise<Exit | void> {
  const findings: Finding[] = [nodeCheck(), ...settingsCheck(call.context)]
  const settingsFine = findings.every(({ level }) => level !== 'fail')
  for (const check of settingsFine ? AFTER_SETTINGS : []) findings.push(...[await guarded(check, call.context)].flat())
  const paints = { ok: 'green', warn: 'yellow', fail: 'red' } as const
  await call.output.rows(findings, [
    { head: 'LEVEL', of: (row) => row.level, paint: (row) => paints[row.level] },
    { head: 'CHECK', of: (row) => row.check },
    { head: 'FOUND', of: (row) => (row.todo === '' ? row.text : `${row.text}: ${row.todo}`) },
  ])
  return findings.some(({ level }) => level === 'fail') ? 'failure' : undefined
}

async function guarded(check: Check, context: Context): Promise<Finding[]> {
  try {
    return [await check(context)].flat()
  } catch (error) {
    return [finding(check.name.replace(/Check$/, ''), 'fail', (error as Error).message, 'see the message')]
  }
}

function nodeCheck(): Finding {
  const { node } = process.versions
  return Number(node.split('.')[0]) >= NODE_MAJOR_MIN
    ? finding('node', 'ok', `Node ${node}`)
    : finding(
        'node',
        'fail',
        `Node ${node}`,
        `${NODE_MAJOR_MIN} or newer is needed; \`make install\` brings the right one`,
      )
}

function settingsCheck(context: Context): Finding[] {
  try {
    context.config()
    return [finding('settings', 'ok', 'all are well formed')]
  } catch (error) {
    const [, ...problems] = (error as Error).message.split('\n')
    return problems.map((problem) => finding('settings', 'fail', problem.trim(), 'mend the environment variable'))
  }
}

async function directoryCheck(context: Context): Promise<Finding[]> {
  const { dataDir, spoolDir } = context.config()
  const found: Finding[] = []
  for (const [name, dir] of [
    ['data', dataDir],
    ['spool', spoolDir],
  ] as const) {
    if (await there(dir)) found.push(await writable(name, dir), ...(await fsyncFinding(context, name, dir)))
    else found.push(finding(name, 'warn', `${dir} is not there yet`, 'the first start makes it'))
  }
  return found
}

const there = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

async function writable(name: string, dir: string): Promise<Finding> {
  const fine = await access(dir, constants.R_OK | constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  )
  return fine
    ? finding(name, 'ok', `${dir} can be written to`)
    : finding(name, 'fail', `${dir} cannot be written to`, 'give it to the user that runs the service')
}

/** Writes and syncs a small file some times; the file is removed. */
async function fsyncFinding(context: Context, name: string, dir: string): Promise<Finding[]> {
  const path = join(dir, `.doctor-${context.ids.entryId()}`)
  const times: number[] = []
  try {
    const file = await open(path, 'wx', 0o600)
    try {
      for (let at = 0; at < FSYNC_TRIES; at += 1) {
        await file.write(Buffer.alloc(4096, at))
        const began = context.clock.monotonic()
        await file.datasync()
        times.push(context.clock.monotonic() - began)
      }
    } finally {
      await file.close()
      await unlink(path)
    }
  } catch (error) {
    return [finding(`${name} fsync`, 'fail', (error as Error).message, 'the disk must take writes and honour fsync')]
  }
  const median = times.sort((one, other) => one - other)[Math.floor(times.length / 2)] ?? 0
  const text = `fdatasync takes ${median.toFixed(2)} ms`
  const slow = median >= FSYNC_SLOW_MS
  return [finding(`${name} fsync`, slow ? 'warn' : 'ok', text, slow ? 'every 250 waits for it; use a faster disk' : '')]
}

async function spaceCheck(context: Context): Promise<Finding[]> {
  const { dataDir, spoolDir, spoolFreeMin, spoolFreeResume } = context.config()
  const dir = (await there(spoolDir)) ? spoolDir : (await there(dataDir)) ? dataDir : dirname(dataDir)
  const { bavail, bsize, ffree, files } = await statfs(dir)
  const free = bavail * bsize
  const level = free < spoolFreeMin ? 'fail' : free < spoolFreeResume * 2 ? 'warn' : 'ok'
  const todo = level === 'ok' ? '' : `below ${sizeText(spoolFreeMin)} mail gets 452; make room`
  const inodes = files === 0 ? 'ok' : ffree < INODES_WARN ? 'warn' : 'ok'
  return [
    finding('space', level, `${sizeText(free)} free for the spool`, todo),
    finding(
      'inodes',
      inodes,
      files === 0 ? 'not limited here' : `${countText(ffree, 'inode')} free`,
      inodes === 'ok' ? '' : 'make room: each large message is a file',
    ),
  ]
}

function clockCheck({ clock }: Context): Finding {
  const now = new Date(clock.now()).toISOString()
  return now >= CLOCK_EARLIEST
    ? finding('clock', 'ok', `${now} by this machine`)
    : finding('clock', 'fail', `${now} by this machine`, 'set the clock; ids and the order of duplicates come from it')
}

async function portsCheck(context: Context): Promise<Finding[]> {
  const { smtpHost, smtpPort, metricsListen } = context.config()
  const ours = await answerOf(context, `http://${metricsListen.host}:${metricsListen.port}/healthz`).then(
    ({ status }) => status === 200,
    () => false,
  )
  const found: Finding[] = []
  for (const [name, host, port] of [
    ['smtp port', smtpHost, smtpPort],
    ['metrics port', metricsListen.host, metricsListen.port],
  ] as const) {
    const problem = port === 0 ? undefined : await bindProblem(host, port)
    if (problem === undefined) found.push(finding(name, 'ok', port === 0 ? 'any free one' : `${host}:${port} is free`))
    else if (problem === 'EADDRINUSE' && ours)
      found.push(finding(name, 'ok', `${host}:${port} is in use, and the service answers`))
    else
      found.push(
        finding(
          name,
          'fail',
          `${host}:${port} cannot be used (${problem})`,
          problem === 'EADDRINUSE'
            ? 'another program has it; stop that, or choose another port'
            : 'choose another address or port',
        ),
      )
  }
  return found
}

/** Why a server could not listen there; undefined when it could. */
const bindProblem = (host: string, port: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })

async function locksCheck(context: Context): Promise<Finding[]> {
  return (await lockFindings(context)).map(({ name, text }) => finding(name, 'ok', text))
}

/** Opening for reading also checks that the schema is the one of this release. */
async function enginesCheck(context: Context): Promise<Finding[]> {
  const { engines } = context
  const looks: [string, () => Promise<string>][] = [
    ['store', async () => schemaText(await engines.store('read'))],
    [
      'event log',
      async () => {
        const ends = await (await engines.log('read')).ends('mail.ingest.v1')
        const count = ends.reduce((sum, { offset }) => sum + offset, 0)
        return `${countText(count, 'event')} in mail.ingest.v1`
      },
    ],
    [
      'object store',
      async () => ((await (await engines.blobs()).head('doctor/none')) === undefined ? 'answers' : 'answers'),
    ],
  ]
  const found: Finding[] = []
  for (const [name, look] of looks) {
    const began = context.clock.monotonic()
    try {
      found.push(finding(name, 'ok', `${await look()} (${durationText(context.clock.monotonic() - began)})`))
    } catch (error) {
      const absent = exitFor(error) === 'unavailable'
      found.push(
        finding(
          name,
          absent ? 'warn' : 'fail',
          (error as Error).message,
          absent ? 'start the service, or try again' : 'see the message',
        ),
      )
    }
  }
  return found
}

/** Without its scanner mail waits, or goes on unscanned. */
async function scannerCheck(context: Context): Promise<Finding[]> {
  const scanner = await context.engines.scanner()
  if (scanner === undefined) return []
  const began = context.clock.monotonic()
  try {
    const version = await scanner.version()
    return [finding('scanner', 'ok', `${version} (${durationText(context.clock.monotonic() - began)})`)]
  } catch (error) {
    const waits = context.config().scannerDown === 'defer'
    const todo = `start clamd, or mend SCANNER_URL; until then mail ${waits ? 'waits' : 'goes on unscanned'}`
    return [finding('scanner', waits ? 'fail' : 'warn', (error as Error).message, todo)]
  }
}

/** Topics of a Kafka cluster: what is missing stops mail behind it, what differs only wants a look. */
async function topicsCheck(context: Context): Promise<Finding[]> {
  if (engineOf(context.config().eventLogUrl) !== 'kafka') return []
  const steps = await (await context.engines.topics()).plan({ acceptReordering: false })
  if (steps.length === 0) return [finding('topics', 'ok', 'as the settings want them')]
  return steps.map((step) => {
    const missing = step.do === 'create'
    const text = missing ? `${step.topic.name} is missing` : stepText(step)
    return finding('topics', missing ? 'fail' : 'warn', text, 'see ingestctl topics plan, then topics apply')
  })
}

async function schemaText(store: Awaited<ReturnType<Context['engines']['store']>>): Promise<string> {
  const { listTenants } = await import('../store/store.ts')
  const tenants = await listTenants(store, { limit: 1000 })
  return `schema of this release, ${countText(tenants.length, 'tenant')}`
}

const AFTER_SETTINGS: readonly Check[] = [
  directoryCheck,
  spaceCheck,
  clockCheck,
  portsCheck,
  locksCheck,
  enginesCheck,
  topicsCheck,
  scannerCheck,
]
