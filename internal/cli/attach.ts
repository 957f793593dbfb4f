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

export async function attach(call: Call<{ dryRun?: boolean }>): Promise<Exit | void> {
  const { context, output, options } = call
  const dir = call.args[0] ?? ''
  const before = await countsOf(context, dir)
  if (options.dryRun === true) {
    return await output.facts({ dir, ...before }, [
      ['waiting', countText(before.pending, 'entry', 'entries')],
      ['set aside', String(before.aside)],
    ])
  }
  await handOn(context, dir, before.pending)
  const after = await countsOf(context, dir)
  const facts = { dir, handedOn: before.pending - after.pending, pending: after.pending, aside: after.aside }
  await output.facts(facts, [
    ['handed on', countText(facts.handedOn, 'entry', 'entries')],
    ['waiting', String(after.pending)],
    ['set aside', String(after.aside)],
  ])
  if (after.pending > 0) {
    output.note(`go on with: ingestctl spool attach ${dir}`)
    return 'interrupted'
  }
  if (after.aside === 0) return
  output.note('what is set aside is nowhere else: SPOOL_DIR=… ingestctl spool export --into DIR')
  return 'conflict'
}

async function countsOf({ engines }: Context, dir: string): Promise<{ pending: number; aside: number }> {
  const { fs } = engines.spool
  const names = await fs.readdir(dir).catch((): string[] => [])
  if (!names.includes('log')) throw new CliError('missing', `${dir} is not the directory of a spool`)
  const spool = inspect({ fs, dir })
  const counts = { pending: 0, aside: 0 }
  for await (const { state } of spool.entries()) if (state === 'pending') counts.pending += 1
  for await (const _ of spool.aside()) counts.aside += 1
  return counts
}

/** Holds both locks of the spool: with its smtpd alive it would not come to an end. Rejects `locked`. */
async function handOn(context: Context, dir: string, total: number): Promise<void> {
  const { engines, clock, random } = context
  const options = { fs: engines.spool.fs, dir, clock, random, limits: { freeMinBytes: 0, freeResumeBytes: 0 } }
  const writer = await openWriter(options)
  try {
    const reader = await openReader(options)
    try {
      await carried(context, reader, total)
    } finally {
      await reader.close()
    }
  } finally {
    await writer.close()
  }
}

async function carried(context: Context, reader: SpoolReader, total: number): Promise<void> {
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
  const progress = progressLine(context)
  try {
    await Promise.race([running, drained()])
  } finally {
    progress.end()
    stop.abort()
    await running
  }

  async function drained(): Promise<void> {
    // Counted from the log when it was opened, so it is not zero before the first was read.
    for (let waiting = total; waiting > 0 && !signal.aborted; waiting = reader.stats().pendingMessages) {
      progress.show({ done: total - waiting, failed: 0, total })
      await clock.sleep(LOOK_MS)
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
