// spool attach: the spool of a node that is gone, on a disk that is here now, is handed on to its end.

import { Registry } from '@prometheus-io/client'
import type { Log } from '../ports/ports.ts'
import { inspect, openReader, openWriter, type SpoolReader } from '../../spool/spool.ts'
import { uploader } from '../upload/upload.ts'
import type { Context } from './context.ts'
import { CliError, type Exit } from './exit.ts'
import { progressLine } from './progress.ts'
import { countText } from './quantity.ts'
import type { Call } from './tree.ts'

/** How often it is looked whether something still waits. */
const LOOK_MS = 100
/** Refusals hold nobody up for longer: when none was told for so long, they stay. */
const REFUSALS_MS = 10_000

interface Counts {
  /** Entries in the log. */
  pending: number
  aside: number
  /** Refusals that are to be told. */
  refusals: number
}

export async function attach(call: Call<{ dryRun?: boolean }>): Promise<Exit | void> {
  const { context, output, options } = call
  const dir = call.args[0] ?? ''
  const before = await countsOf(context, dir)
  if (options.dryRun === true) return await output.facts({ dir, ...before }, waitingLines(before))
  await handOn(context, dir, before)
  const after = await countsOf(context, dir)
  const told = before.refusals - after.refusals
  const facts = { dir, handedOn: before.pending - after.pending, refusalsHandedOn: told, ...after }
  const refusals = told === 0 ? '' : ` and ${countText(told, 'refusal')}`
  await output.facts(facts, [
    ['handed on', `${countText(facts.handedOn, 'entry', 'entries')}${refusals}`],
    ...waitingLines(after),
  ])
  if (after.pending + after.refusals > 0) output.note(`go on with: ingestctl spool attach ${dir}`)
  if (after.aside > 0) output.note('what is set aside is nowhere else: SPOOL_DIR=… ingestctl spool export --into DIR')
  if (after.pending > 0 || (after.refusals > 0 && context.signal.aborted)) return 'interrupted'
  return after.aside + after.refusals > 0 ? 'conflict' : undefined
}

const waitingLines = ({ pending, aside, refusals }: Counts): [string, string][] => [
  ['waiting', `${countText(pending, 'entry', 'entries')} and ${countText(refusals, 'refusal')}`],
  ['set aside', String(aside)],
]

async function countsOf(context: Context, dir: string): Promise<Counts> {
  const { fs } = context.engines.spool
  const names = await fs.readdir(dir).catch((): string[] => [])
  if (!names.includes('log')) throw new CliError('missing', `${dir} is not the directory of a spool`)
  const spool = inspect({ fs, dir })
  const counts = { pending: 0, aside: 0, refusals: await refusalsIn(context, dir) }
  for await (const { state } of spool.entries()) if (state === 'pending') counts.pending += 1
  for await (const _ of spool.aside()) counts.aside += 1
  return counts
}

async function refusalsIn({ engines }: Context, dir: string): Promise<number> {
  let count = 0
  for await (const _ of inspect({ fs: engines.spool.fs, dir }).notes()) count += 1
  return count
}

/** Holds both locks of the spool: with its smtpd alive it would not come to an end. Rejects `locked`. */
async function handOn(context: Context, dir: string, before: Counts): Promise<void> {
  const { engines, clock, random } = context
  const options = { fs: engines.spool.fs, dir, clock, random, limits: { freeMinBytes: 0, freeResumeBytes: 0 } }
  const writer = await openWriter(options)
  try {
    const reader = await openReader(options)
    try {
      await carried(context, reader, { dir, ...before })
    } finally {
      await reader.close()
    }
  } finally {
    await writer.close()
  }
}

async function carried(
  context: Context,
  reader: SpoolReader,
  { dir, pending: total, refusals }: Counts & { dir: string },
): Promise<void> {
  const { engines, clock, signal } = context
  const { uploadConcurrency: concurrency, uploadRetryMaxMs: retryMaxMs, deployment } = context.config()
  const [blobs, log] = [await engines.blobs(), await engines.log('write')]
  const stage = uploader({
    reader,
    blobs,
    log,
    clock,
    logger: spoken(context),
    registry: new Registry(),
    concurrency,
    retryMaxMs,
    source: `/ingest/${deployment}/uploaderd`,
  })
  const stop = new AbortController()
  const running = stage.run(stop.signal)
  const over = () => signal.aborted || stop.signal.aborted
  const progress = progressLine(context)
  try {
    await Promise.race([running, drained().then(told)])
  } finally {
    progress.end()
    stop.abort()
    await running
  }

  async function drained(): Promise<void> {
    // Counted from the log when it was opened, so it is not zero before the first was read.
    for (let waiting = total; waiting > 0 && !over(); waiting = reader.stats().pendingMessages) {
      progress.show({ done: total - waiting, failed: 0, total })
      await clock.sleep(LOOK_MS)
    }
  }

  /** Refusals may stand behind the last entry. */
  async function told(): Promise<void> {
    let since = clock.monotonic()
    for (let waiting = refusals; waiting > 0 && !over() && clock.monotonic() - since < REFUSALS_MS;) {
      await clock.sleep(LOOK_MS)
      const now = await refusalsIn(context, dir)
      if (now < waiting) since = clock.monotonic()
      waiting = now
    }
  }
}

/** What the uploader waits for, for who waits for it. */
function spoken({ streams }: Context): Log {
  const say = (facts: object, text: string) => {
    const { err } = facts as { err?: unknown }
    streams.err.write(`${text}${err instanceof Error ? `: ${err.message}` : ''}\n`)
  }
  return { debug: () => {}, info: () => {}, warn: say, error: say }
}
