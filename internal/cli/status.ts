// status: how it goes, in one screen, with an exit status for cron. health: what a container's probe asks.

import { get } from 'node:http'
import { statfs } from 'node:fs/promises'
import { countByStatus, listCheckpoints, listMessages, outboxState, type Store } from '../store/store.ts'
import type { Context } from './context.ts'
import { CliError, exitFor, type Exit } from './exit.ts'
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
} as const

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
    await diskFact(context),
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

/** Store and event log. Where one is out of reach, the spool's numbers are told all the same, unless there are none. */
async function engineFacts(context: Context): Promise<Fact[]> {
  try {
    const store = await context.engines.store('read')
    return [...(await storeFacts(context, store)), ...(await lagFacts(context, store))]
  } catch (error) {
    if (!(error instanceof Error) || exitFor(error) !== 'unavailable') throw error
    if ((await sizeOfSpool(context)) === 0) throw error
    return [{ name: 'engines', level: 'crit', text: error.message, value: error.message }]
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
    { name: 'last', level: 'ok', text: last === null ? 'no message yet' : `${timeText(last)} UTC`, value: last },
  ]
}

/** What a consumer group has not applied yet of a topic: how many events, and since when the oldest of them waits. */
async function lagFacts({ engines, clock }: Context, store: Store): Promise<Fact[]> {
  const log = await engines.log('read')
  const checkpoints = await listCheckpoints(store)
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
  return Promise.all(facts)
}

async function diskFact(context: Context): Promise<Fact> {
  const { spoolFreeMin, spoolFreeResume, dataDir, spoolDir } = context.config()
  const { bavail, bsize } = await statfs(spoolDir).catch(() => statfs(dataDir))
  const free = bavail * bsize
  const level = free < spoolFreeMin ? 'crit' : free < spoolFreeResume * 2 ? 'warn' : 'ok'
  return { name: 'disk', level, text: `${sizeText(free)} free`, value: free }
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
  const late = clock.sleep(PROBE_TIMEOUT_MS, stop.signal).then(
    () => 'late' as const,
    () => 'late' as const, // aborted once the answer is there
  )
  try {
    const answer = await Promise.race([asked, late])
    if (answer === 'late') throw new Error('no answer in 5 s')
    return answer
  } finally {
    stop.abort()
  }
}
