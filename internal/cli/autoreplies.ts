// autoreplies list, show, set, remove: what mailboxes answer by themselves.

import { readFile } from 'node:fs/promises'
import { getAutoReply, listAutoReplies, removeAutoReply, setAutoReply, type AutoReply } from '../store/store.ts'
import { paged } from './directory-rows.ts'
import { CliError } from './exit.ts'
import { timeText } from './message-row.ts'
import type { Column } from './output.ts'
import { durationMs, durationText, instant } from './quantity.ts'
import type { Call } from './tree.ts'

export interface AutoReplyOptions {
  file: string
  subject?: string
  from?: string
  until?: string
  every?: string
}

/** Octets of a text file; the store allows less. */
const FILE_MAX = 64 * 1024

const isoOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())
const jsonOf = ({ fromAt, untilAt, updatedAt, ...row }: AutoReply) => ({
  ...row,
  from: isoOf(fromAt),
  until: isoOf(untilAt),
  updatedAt: isoOf(updatedAt),
})

const momentText = (ms: number | null): string | undefined => (ms === null ? undefined : timeText(isoOf(ms) ?? ''))

const COLUMNS: readonly Column<AutoReply>[] = [
  { head: 'ADDRESS', of: (row) => row.address },
  { head: 'FROM (UTC)', of: (row) => momentText(row.fromAt) ?? '' },
  { head: 'UNTIL (UTC)', of: (row) => momentText(row.untilAt) ?? '' },
  { head: 'EVERY', of: (row) => durationText(row.everyMs) },
  { head: 'SUBJECT', of: (row) => row.subject ?? '' },
]

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const only = tenant === undefined ? {} : { tenant }
  const pages = paged(
    limit,
    (want) => listAutoReplies(store, { ...want, ...only }),
    (row) => row.address,
  )
  await call.output.pages(pages, COLUMNS, jsonOf)
}

export async function show(call: Call): Promise<void> {
  await shown(call, await getAutoReply(await call.context.engines.store('read'), call.args[0] ?? ''))
}

export async function set(call: Call<AutoReplyOptions>): Promise<void> {
  const { context, options, args } = call
  if (context.config().outboundUrl === undefined)
    throw new CliError('usage', 'nobody would send it: OUTBOUND_URL is not set, here and for indexerd')
  const now = context.clock.now()
  const at = (text: string | undefined) => (text === undefined ? undefined : Date.parse(instant(text, now)))
  const given = {
    address: args[0] ?? '',
    subject: options.subject,
    body: await textOf(call, options.file),
    fromAt: at(options.from),
    untilAt: at(options.until),
    everyMs: options.every === undefined ? undefined : durationMs(options.every),
    now,
  }
  const store = await context.engines.store('write')
  await shown(call, await store.transaction((tx) => setAutoReply(tx, given)))
}

/** Of a file, or of standard input where it is `-`. */
async function textOf({ context }: Call<AutoReplyOptions>, file: string): Promise<string> {
  const octets = file === '-' ? await held(context.streams.input) : await readFile(file)
  if (octets.length > FILE_MAX) throw new CliError('usage', `the text is larger than ${FILE_MAX} bytes`)
  return new TextDecoder().decode(octets).replaceAll(/\r\n?/g, '\n')
}

async function held(input: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of input) {
    const octets = Buffer.from(chunk as Uint8Array)
    chunks.push(octets)
    size += octets.length
    if (size > FILE_MAX) break
  }
  return Buffer.concat(chunks)
}

export async function remove(call: Call): Promise<void> {
  const store = await call.context.engines.store('write')
  await store.transaction((tx) => removeAutoReply(tx, call.args[0] ?? ''))
  call.output.note(`${call.args[0] ?? ''} answers nothing any more; what is queued still goes out`)
}

async function shown({ output }: Call, row: AutoReply): Promise<void> {
  await output.facts(jsonOf(row), [
    ['address', row.address],
    ['subject', row.subject === null ? 'that of the mail' : row.subject],
    ['from', momentText(row.fromAt)],
    ['until', momentText(row.untilAt)],
    ['every', `${durationText(row.everyMs)} for each sender`],
    ['text', row.body],
  ])
}
