// status: how it goes, in one screen, with an exit status for cron. health: what a container's probe asks.

import { get } from 'node:http'
import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { quotaLevel, type QuotaLevel } from '../directory/directory.ts'
import type { EventLog, Keeping } from '../eventlog/eventlog.ts'
import {
  countByStatus,
  dayOf,
  limitedTenants,
  listCheckpoints,
  listMessages,
  outboundState,
  outboxState,
  type Checkpoint,
  type Store,
} from '../store/store.ts'
import type { Context } from './context.ts'
import { inTime } from './deadline.ts'
import { CliError, type Exit } from './exit.ts'
import { lockFindings } from './locks.ts'
import { timeText } from './message-row.ts'
import { countText, durationText, sizeText } from './quantity.ts'
import type { Call } from './tree.ts'
import { waitingSummary } from './waiting.ts'

/** Levels as monitoring plugins have them: the status is the exit status. */
const LEVELS = ['ok', 'warn', 'crit'] as const
type Level = (typeof LEVELS)[number]
const EXIT_OF = { ok: 'ok', warn: 'failure', crit: 'usage' } as const satisfies Record<Level, Exit>

/** From which age or count a fact is a warning, and critical. Ages in milliseconds. */
export const THRESHOLDS = {
  oldestMs: { warn: 60_000, crit: 900_000 },
  lagEvents: { warn: 1000, crit: 100_000 },
  lagMs: { warn: 60_000, crit: 900_000 },
  outboxMs: { warn: 60_000, crit: 900_000 },
  outboundMs: { warn: 4 * 3_600_000, crit: 2 * 86_400_000 },
} as const

/** Every engine says in this time how it goes, or counts as out of reach. */
const LOOK_MAX_MS = 3000
const INGEST = 'mail.ingest.v1'
/** Tenants that a line names. */
const NAMED_MAX = 5

interface Fact {
  name: string
  level: Level
  text: string
  value: unknown
}

const levelOf = (value: number, { warn, crit }: { warn: number; crit: number }): Level =>
  value >= crit ? 'crit' : value >= warn ? 'warn' : 'ok'

export async function status(call: Call): Promise<Exit> {
  const { context, output } = call
  const facts = [
    ...(await serviceFacts(context)),
    ...(await spoolFacts(context)),
    ...(await engineFacts(context)),
    ...(await diskFacts(context)),
  ]
  const worst = LEVELS[Math.max(...facts.map(({ level }) => LEVELS.indexOf(level)))] ?? 'ok'
  const paints = { ok: 'green', warn: 'yellow', crit: 'red' } as const
  if (output.format === 'json' || output.format === 'ndjson') {
    await output.json({
      status: worst,
      ...Object.fromEntries(facts.map(({ name, level, value }) => [name, { level, value }])),
    })
  } else {
    const columns = [
      { head: 'LEVEL', of: (fact: Fact) => fact.level, paint: (fact: Fact) => paints[fact.level] },
      { head: 'WHAT', of: (fact: Fact) => fact.name },
      { head: 'VALUE', of: (fact: Fact) => fact.text },
    ]
    await output.rows(facts, columns)
  }
  return EXIT_OF[worst]
}

async function spoolFacts(context: Context): Promise<Fact[]> {
  const { pending, pendingBytes, aside, damaged, oldestAt } = await waitingSummary(context)
  const ageMs = oldestAt === undefined ? 0 : Math.max(0, context.clock.now() - oldestAt)
  const depth = `${countText(pending, 'entry', 'entries')}, ${sizeText(pendingBytes)}`
  return [
    { name: 'spool', level: 'ok', text: depth, value: { entries: pending, bytes: pendingBytes } },
    {
      name: 'oldest',
      level: levelOf(ageMs, THRESHOLDS.oldestMs),
      text: pending === 0 ? 'none waits' : durationText(ageMs),
      value: ageMs,
    },
    { name: 'aside', level: aside > 0 ? 'warn' : 'ok', text: countText(aside, 'entry', 'entries'), value: aside },
    {
      name: 'damaged',
      level: damaged > 0 ? 'warn' : 'ok',
      text: damaged === 0 ? 'nothing' : `${countText(damaged, 'piece')} of the log; see: ingestctl spool verify`,
      value: damaged,
    },
  ]
}

/** Whether a process takes mail: where one ever did, and where this system tells. */
async function serviceFacts(context: Context): Promise<Fact[]> {
  const writer = (await lockFindings(context)).find(({ name }) => name.includes('writer'))
  if (writer?.state === 'held') return [{ name: 'service', level: 'ok', text: writer.text, value: writer.holders }]
  if (writer?.state !== 'free') return []
  return [{ name: 'service', level: 'warn', text: 'no process of this machine takes mail', value: [] }]
}

/** Store and event log. What is out of reach is critical, and everything else is told all the same. */
async function engineFacts(context: Context): Promise<Fact[]> {
  const { eventLogUrl } = context.config()
  const store = await looked(context, { name: 'store', setting: 'DATABASE_URL' }, async () => {
    const open = await context.engines.store('read')
    return { facts: await storeFacts(context, open), checkpoints: await listCheckpoints(open) }
  })
  const log = await looked(context, { name: 'event log', setting: `EVENT_LOG_URL ${eventLogUrl}` }, async () => {
    const open = await context.engines.log('read')
    return { facts: await logFacts(context, open, 'checkpoints' in store ? store.checkpoints : []) }
  })
  return [...store.facts, ...log.facts]
}

/** What `look` finds in an engine in time; else the one fact that it could not. */
async function looked<T extends { facts: Fact[] }>(
  context: Context,
  { name, setting }: { name: string; setting: string },
  look: () => Promise<T>,
): Promise<T | { facts: Fact[] }> {
  const failed = (why: string) => ({
    facts: [{ name, level: 'crit', text: `${why} (${setting})`, value: why } as const],
  })
  try {
    return (await inTime(context.clock, LOOK_MAX_MS, look())) ?? failed(`no answer in ${durationText(LOOK_MAX_MS)}`)
  } catch (error) {
    // Where there is neither a store nor mail, nothing was ever started, which is no trouble.
    if (error instanceof CliError && name === 'store' && (await sizeOfSpool(context)) === 0) throw error
    return failed((error as Error).message)
  }
}

async function sizeOfSpool(context: Context): Promise<number> {
  const { pending, aside } = await waitingSummary(context)
  return pending + aside
}

async function storeFacts(context: Context, store: Store): Promise<Fact[]> {
  const counts = await countByStatus(store)
  const { pending, oldestAt } = await outboxState(store)
  const [newest] = (await listMessages(store, {}, { limit: 1 })).rows
  const outboxMs = oldestAt === null ? 0 : Math.max(0, context.clock.now() - oldestAt)
  const text = Object.entries(counts)
    .map(([status, count]) => `${count.toLocaleString('en-US')} ${status}`)
    .join(', ')
  const last = newest === undefined ? null : new Date(newest.receivedAt).toISOString()
  return [
    { name: 'messages', level: counts.FAILED > 0 ? 'warn' : 'ok', text, value: counts },
    {
      name: 'outbox',
      level: levelOf(outboxMs, THRESHOLDS.outboxMs),
      text: countText(pending, 'event'),
      value: { events: pending, oldestMs: outboxMs },
    },
    ...outboundFacts(context, await outboundState(store)),
    { name: 'last', level: 'ok', text: last === null ? 'no message yet' : `${timeText(last)} UTC`, value: last },
    ...(await quotaFacts(context, store)),
  ]
}

/** Tenants that have used most or all of a quota; nothing where none has a quota. */
async function quotaFacts({ clock }: Context, store: Store): Promise<Fact[]> {
  const tenants = await Array.fromAsync(limitedTenants(store, dayOf(clock.now())))
  if (tenants.length === 0) return []
  const slugs = (level: QuotaLevel) =>
    tenants.filter(({ quotas, usage }) => quotaLevel(quotas, usage) === level).map(({ tenant }) => tenant)
  const [near, over] = [slugs('near'), slugs('over')]
  const named = (what: string, some: readonly string[]) =>
    some.length === 0 ? [] : [`${what}: ${some.slice(0, NAMED_MAX).join(', ')}${some.length > NAMED_MAX ? ', …' : ''}`]
  const text = [...named('over', over), ...named('80 % or more', near)].join('; ')
  const level = near.length + over.length > 0 ? 'warn' : 'ok'
  const fine = `${countText(tenants.length, 'tenant')} within them`
  return [{ name: 'quotas', level, text: text === '' ? fine : text, value: { tenants: tenants.length, near, over } }]
}

/** Mail of ours, where there is any that is not sent. */
function outboundFacts(
  { clock }: Context,
  { pending, oldestAt, failed }: { pending: number; oldestAt: number | null; failed: number },
): Fact[] {
  if (pending + failed === 0) return []
  const oldestMs = oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt)
  const level = levelOf(oldestMs, THRESHOLDS.outboundMs)
  const text = `${countText(pending, 'mail')} to be sent, ${failed} failed; see: ingestctl outbound list`
  const value = { mails: pending, oldestMs, failed }
  return [{ name: 'outbound', level: level === 'ok' && failed > 0 ? 'warn' : level, text, value }]
}

/** What each consumer group has not applied yet of a topic: how many events, and since when the oldest of them waits. */
async function logFacts(
  { clock }: Context,
  log: EventLog & Keeping,
  checkpoints: readonly Checkpoint[],
): Promise<Fact[]> {
  const groups = [...new Set(checkpoints.map(({ group, topic }) => `${group} ${topic}`))]
  const { warn, crit } = THRESHOLDS.lagMs
  const facts = groups.map(async (name): Promise<Fact> => {
    const [group = '', topic = ''] = name.split(' ')
    const done = checkpoints.filter((each) => each.group === group && each.topic === topic)
    const next = (partition: number) => done.find((each) => each.partition === partition)?.offset ?? 0
    const partitions = (await log.ends(topic)).map(({ partition, offset: end }) => {
      return { partition, checkpoint: next(partition), end, events: Math.max(0, end - next(partition)) }
    })
    const events = partitions.reduce((sum, partition) => sum + partition.events, 0)
    const isBehind = async (ms: number) =>
      (await log.offsetsAt(topic, clock.now() - ms)).some(({ partition, offset }) => next(partition) < offset)
    const behindMs = events === 0 ? 0 : (await isBehind(crit)) ? crit : (await isBehind(warn)) ? warn : 0
    const worst = Math.max(
      LEVELS.indexOf(levelOf(events, THRESHOLDS.lagEvents)),
      LEVELS.indexOf(levelOf(behindMs, THRESHOLDS.lagMs)),
    )
    const text = countText(events, 'event') + (behindMs > 0 ? `, for more than ${durationText(behindMs)}` : '')
    return { name: `lag ${name}`, level: LEVELS[worst] ?? 'crit', text, value: { events, behindMs, partitions } }
  })
  if (facts.length > 0) return Promise.all(facts)
  const events = (await log.ends(INGEST)).reduce((sum, { offset }) => sum + offset, 0)
  return [{ name: 'event log', level: 'ok', text: `${countText(events, 'event')} in ${INGEST}`, value: events }]
}

/** Free space of the node; none where this machine has no directory of ours. */
async function diskFacts(context: Context): Promise<Fact[]> {
  const { spoolFreeMin, spoolFreeResume, dataDir, spoolDir } = context.config()
  const dir = [spoolDir, dataDir].find((each) => existsSync(each))
  if (dir === undefined) return []
  const { bavail, bsize } = await statfs(dir)
  const free = bavail * bsize
  const level = free < spoolFreeMin ? 'crit' : free < spoolFreeResume * 2 ? 'warn' : 'ok'
  return [{ name: 'disk', level, text: `${sizeText(free)} free`, value: free }]
}

const PROBE_TIMEOUT_MS = 5000
const PROBE_BYTES_MAX = 64 * 1024

interface HealthOptions {
  live?: boolean
}

export async function health(call: Call<HealthOptions>): Promise<Exit | void> {
  const { host, port } = call.context.config().metricsListen
  const path = call.options.live === true ? '/healthz' : '/readyz'
  const authority = host.includes(':') ? `[${host}]` : host
  const { status, body } = await answerOf(call.context, `http://${authority}:${port}${path}`).catch(
    (error: unknown) => {
      throw new CliError('failure', `nothing answers on ${authority}:${port}: ${(error as Error).message}`)
    },
  )
  const ok = status === 200
  await call.output.facts({ ok, status, path, answer: body }, [[ok ? 'ok' : 'not ready', body]])
  return ok ? undefined : 'failure'
}

/** One GET with a deadline and a bound on what is read. */
export async function answerOf(
  { clock }: Pick<Context, 'clock'>,
  url: string,
): Promise<{ status: number; body: string }> {
  const stop = new AbortController()
  const asked = new Promise<{ status: number; body: string }>((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => (body = (body + text).slice(0, PROBE_BYTES_MAX)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: body.trim() }))
      response.on('error', reject)
    })
    request.on('error', reject)
    stop.signal.addEventListener('abort', () => request.destroy())
  })
  try {
    const answer = await inTime(clock, PROBE_TIMEOUT_MS, asked)
    if (answer === undefined) throw new Error('no answer in 5 s')
    return answer
  } finally {
    stop.abort()
  }
}
