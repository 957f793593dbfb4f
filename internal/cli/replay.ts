// replay, messages retry and process, quarantine redrive: mail is told again to the indexer, from what is kept of it.

import { createInterface } from 'node:readline'
import {
  Outage,
  planReplay,
  replay,
  type ReplayParts,
  type ReplayPlan,
  type ReplaySelector,
} from '../indexer/indexer.ts'
import { getJob, messagesByAnyId, type Job, type Message, type Store } from '../store/store.ts'
import { confirm } from './confirm.ts'
import type { Context } from './context.ts'
import { CliError, type Exit } from './exit.ts'
import { filterOf, type Selection } from './messages.ts'
import { compare, differenceFacts, differenceLines, type Differences } from './preview.ts'
import { progressLine } from './progress.ts'
import { countText } from './quantity.ts'
import type { Call } from './tree.ts'

interface Running {
  dryRun?: boolean
  yes?: boolean
  /** Infinity for all. */
  limit?: number
  rate?: number
  show?: number
}

type ReplayOptions = Running & Selection & { offsets?: string; objects?: string; resume?: string }

/** One run: which messages, and whether duplicates are processed as if they were none. */
interface Run {
  selector: ReplaySelector
  force?: 'duplicate'
  /** What they have in common, for people. */
  what: string
}

/** Messages a second unless --rate says otherwise: the indexer's other work goes on. */
const RATE = 200
/** Messages of a dry run that are shown field by field unless --show says otherwise. */
const SHOWN = 20
const INGEST_TOPIC = 'mail.ingest.v1'
/** Ids from stdin that are held. */
const IDS_MAX = 100_000

export async function replayMessages(call: Call<ReplayOptions>): Promise<Exit | void> {
  const { resume } = call.options
  if (resume !== undefined) return await resumed(call, resume)
  return await started(call, await runOf(call))
}

export async function redrive(call: Call<Running & Selection>): Promise<Exit | void> {
  const chosen = filterOf(call)
  if (call.args.length > 0) {
    if (Object.keys(chosen).length > 0) throw new CliError('usage', 'ids and filters exclude each other')
    const rows = await rowsOf(call)
    mustBe(rows, 'QUARANTINED')
    return await started(call, byIds(rows))
  }
  const filter = { ...chosen, status: 'QUARANTINED' as const }
  await started(call, { selector: { by: 'filter', filter }, what: `in quarantine${filterText(call.options)}` })
}

/** Takes in what a policy set aside, whatever the policy says. */
export async function release(call: Call<Running>): Promise<Exit | void> {
  const rows = await rowsOf(call)
  mustBe(rows, 'QUARANTINED')
  const others = rows.filter((row) => row.reason !== 'policy')
  if (others.length > 0) {
    const list = others.map((row) => `  ${row.id}  ${row.reason}`).join('\n')
    throw new CliError('conflict', `only what a policy set aside can be released; nothing was done:\n${list}`)
  }
  return await started(call, { ...byIds(rows), force: 'duplicate' })
}

export async function retry(call: Call<Running>): Promise<Exit | void> {
  return await started(call, byIds(await rowsOf(call)))
}

export async function processDuplicate(call: Call<Running>): Promise<Exit | void> {
  const rows = await rowsOf(call)
  mustBe(rows, 'DUPLICATE')
  return await started(call, { ...byIds(rows), force: 'duplicate' })
}

function mustBe(rows: readonly Message[], status: Message['status']): void {
  const others = rows.filter((row) => row.status !== status)
  if (others.length === 0) return
  const list = others.map((row) => `  ${row.id}  ${row.status}`).join('\n')
  throw new CliError('conflict', `only ${status} messages can be chosen; nothing was done:\n${list}`)
}

const byIds = (rows: readonly Message[]): Run => ({
  selector: { by: 'messages', ids: rows.map((row) => row.id) },
  what: 'given by id',
})

/** In how many ways the command line says which messages. */
function waysOf(call: Call<ReplayOptions>): number {
  const { offsets, objects } = call.options
  const filtered = Object.keys(filterOf(call)).length > 0
  return [call.args.length > 0, filtered, offsets !== undefined, objects !== undefined].filter(Boolean).length
}

async function runOf(call: Call<ReplayOptions>): Promise<Run> {
  const { offsets, objects } = call.options
  const filter = filterOf(call)
  const count = waysOf(call)
  if (count === 0)
    throw new CliError('usage', 'say which messages: ids, --tenant, --from, --status, --flag, --offsets or --objects')
  if (count > 1) throw new CliError('usage', 'ids, filters, --offsets and --objects exclude each other')
  if (offsets !== undefined) return { selector: offsetsOf(offsets), what: `told at ${offsets}` }
  if (objects !== undefined) return { selector: { by: 'objects', prefix: objects }, what: inStore(objects) }
  if (call.args.length > 0) return byIds(await rowsOf(call))
  return { selector: { by: 'filter', filter }, what: filterText(call.options).trim() }
}

const inStore = (prefix: string): string => (prefix === '' ? 'in the object store' : `with objects under ${prefix}`)

/** `mail.ingest.v1:0:100-200`, both ends included; without an end, up to the present end. */
function offsetsOf(text: string): ReplaySelector {
  const match = /^([\w.-]+):(\d{1,9}):(\d{1,15})-(\d{1,15})?$/.exec(text)
  const [, topic, partition, from, to] = match ?? []
  if (topic !== INGEST_TOPIC || (to !== undefined && Number(to) < Number(from))) {
    throw new CliError('usage', `--offsets must be like ${INGEST_TOPIC}:0:100-200, not ${JSON.stringify(text)}`)
  }
  const until = to === undefined ? {} : { until: Number(to) + 1 }
  return { by: 'offsets', partition: Number(partition), from: Number(from), ...until }
}

function filterText(options: Selection): string {
  const names = ['tenant', 'mailbox', 'status', 'reason', 'flag', 'thread', 'from', 'to'] as const
  return names.flatMap((name) => (options[name] === undefined ? [] : [` ${name}=${options[name]}`])).join('')
}

/** The messages that the arguments mean; each may be a message, entry, trace or header id, `-` reads ids from stdin. */
async function rowsOf(call: Call): Promise<Message[]> {
  const ids = call.args.includes('-')
    ? [...call.args.filter((id) => id !== '-'), ...(await idsFromInput(call.context))]
    : call.args
  const store = await call.context.engines.store('read')
  const rows = new Map<string, Message>()
  const unknown: string[] = []
  for (const id of ids) {
    const found = await messagesByAnyId(store, id)
    const exact = found.find((row) => row.id === id)
    if (found.length === 0) unknown.push(id)
    for (const row of exact === undefined ? found : [exact]) rows.set(row.id, row)
  }
  if (unknown.length > 0)
    throw new CliError('missing', `not in the store, nothing was done: ${unknown.slice(0, 20).join(', ')}`)
  if (rows.size === 0) throw new CliError('usage', 'no ids were given')
  return [...rows.values()]
}

/** The first word of each line of stdin. */
export async function idsFromInput({ streams }: Context): Promise<string[]> {
  const ids: string[] = []
  for await (const line of createInterface({ input: streams.input })) {
    const id = line.trim().split(/\s+/)[0] ?? ''
    if (id !== '') ids.push(id)
    if (ids.length > IDS_MAX) throw new CliError('usage', `more than ${IDS_MAX} ids on stdin`)
  }
  return ids
}

/** States the count first; asks where a filter chose; then tells them. */
async function started(call: Call<Running>, run: Run): Promise<Exit | void> {
  const { context, output, options } = call
  const plan = await planReplay(await partsOf(context, 'read'), run.selector)
  const limit = options.limit ?? plan.count
  const count = Math.min(plan.count, limit)
  const cut = plan.count > limit ? `; --limit ends after ${limit.toLocaleString('en-US')} of them` : ''
  const sentence = `${countText(plan.count, 'message')} ${run.what}${cut}`
  if (options.dryRun === true) return await compared(call, run, { plan, count, sentence })
  if (count === 0) return await planned(call, { plan, count, sentence })
  output.note(sentence)
  if (run.selector.by !== 'messages') await confirm(call, `Index ${countText(count, 'message')} again?`)
  const { selector, force } = run
  const jobId = context.ids.entryId()
  const most = Number.isFinite(limit) ? { limit } : {}
  return await finished(call, jobId, { selector, ...most, planned: count, ...(force === undefined ? {} : { force }) })
}

interface Planned {
  plan: ReplayPlan
  /** What the limit leaves of the plan. */
  count: number
  sentence: string
}

/** What would be done, and where it was compared, what would change. */
async function planned({ output, options }: Call<Running>, { plan, count, sentence }: Planned, found?: Differences) {
  const { count: matching, sample } = plan
  if (output.forScripts) {
    const json = { dryRun: options.dryRun === true, count, matching, sample, ...found }
    return await output.facts(json, [
      ['count', String(count)],
      ['matching', String(matching)],
      ...sample.map((id): [string, string] => ['sample', id]),
      ...(found === undefined ? [] : differenceFacts(found)),
    ])
  }
  await output.line(`${sentence} would be indexed again`)
  for (const line of found === undefined ? [] : differenceLines(found)) await output.line(line)
}

/** A dry run: nothing is told and nothing stays. Messages that cannot be found are a conflict, as in the real run. */
async function compared(call: Call<Running>, run: Run, plan: Planned): Promise<Exit | void> {
  const { context, options } = call
  const { selector, force } = run
  const { rate: perSecond = RATE, show: shown = SHOWN } = options
  const how = { source: sourceOf(context), limit: plan.count, perSecond, shown, ...(force && { force }) }
  let gone = 0
  const report = async (found: Differences) => {
    gone = found.gone
    await planned(call, plan, found)
  }
  try {
    await compare(context, { selector, ...how }, report)
  } catch (error) {
    if (error instanceof Outage) throw new CliError('unavailable', error.message, { cause: error })
    throw error
  }
  if (context.signal.aborted) throw new CliError('interrupted', 'interrupted; this is what was compared until then')
  return gone > 0 ? 'conflict' : undefined
}

/** The job itself says which messages, and how many at most. */
async function resumed(call: Call<ReplayOptions>, jobId: string): Promise<Exit | void> {
  if (waysOf(call) > 0) throw new CliError('usage', '--resume goes on with what the job was told; name no messages')
  if (call.options.dryRun !== true) return await finished(call, jobId, { resume: true })
  await told(call, await getJob(await call.context.engines.store('read'), jobId))
}

type Wanted = { resume: true } | { selector: ReplaySelector; limit?: number; planned: number; force?: 'duplicate' }

async function finished(call: Call<Running>, jobId: string, wanted: Wanted): Promise<Exit | void> {
  const { context, output, options } = call
  const { signal } = context
  const line = progressLine(context)
  const perSecond = options.rate ?? RATE
  const parts = await partsOf(context, 'write')
  const onOpen = () => output.note(`if it is interrupted, go on with: ingestctl replay --resume ${jobId}`)
  const watching = { onOpen, onProgress: line.show }
  const job = await replay(parts, { ...wanted, ...watching, jobId, perSecond, signal }).finally(() => line.end())
  await told(call, job)
  if (job.state === 'interrupted') {
    throw new CliError('interrupted', `interrupted; go on with: ingestctl replay --resume ${jobId}`)
  }
  if (job.failed > 0) output.note(`${countText(job.failed, 'message')} could not be found any more`)
  return job.failed > 0 ? 'conflict' : undefined
}

async function told({ output }: Call, { id, state, total, done, failed }: Job): Promise<void> {
  await output.facts({ job: id, state, total, done, failed }, [
    ['job', id],
    ['state', state],
    ['told again', `${countText(done, 'message')}${total === null ? '' : ` of ${total.toLocaleString('en-US')}`}`],
    ['failed', failed === 0 ? undefined : String(failed)],
  ])
}

async function partsOf(context: Context, access: 'read' | 'write'): Promise<ReplayParts> {
  const { engines, clock } = context
  const store: Store = await engines.store(access)
  return { store, blobs: await engines.blobs(), log: await engines.log(access), clock, source: sourceOf(context) }
}

const sourceOf = (context: Context): string => `/ingest/${context.config().deployment}/ingestctl`
