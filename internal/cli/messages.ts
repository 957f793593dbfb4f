// messages list, show, raw, search: the store's rows and the bytes as received.

import { pipeline } from 'node:stream/promises'
import { handedOn } from '../authentication/authentication.ts'
import { POLICY_RULES, type Envelope, type MessageMeta } from '../envelope/envelope.ts'
import { INDEX_FLAGS } from '../indexer/indexer.ts'
import { AUTOMATIC_KINDS, FLAGS } from '../message/message.ts'
import { listMessages, parseQuery, searchMessages, MESSAGE_STATUSES } from '../store/store.ts'
import type { Message, MessageFilter, MessageStatus, Page, PageWant, Store } from '../store/store.ts'
import { CliError } from './exit.ts'
import { findOne, withDocuments } from './find.ts'
import { linkFacts, linksOf, NO_LINKS } from './links.ts'
import { MESSAGE_COLUMNS, messageFacts, timeText, type MessageJson } from './message-row.ts'
import type { Column } from './output.ts'
import { countText } from './quantity.ts'
import { timesOf, type Call } from './tree.ts'
import { openWaiting, waitingCount } from './waiting.ts'

export interface Selection {
  tenant?: string
  mailbox?: string
  status?: string
  reason?: string
  flag?: string
  thread?: string
  from?: string
  to?: string
}

type ListOptions = Selection & { limit: number; ids?: boolean }

const PAGE_MAX = 1000

/** The options that narrow a list, as the store wants them. */
export function filterOf(call: Call<Selection>): MessageFilter {
  const { tenant, mailbox, status, reason, flag, thread } = call.options
  return {
    ...timesOf(call),
    ...(tenant === undefined ? {} : { tenant }),
    ...(mailbox === undefined ? {} : { mailbox }),
    ...(status === undefined ? {} : { status: statusesOf(status) }),
    ...(reason === undefined ? {} : { reason }),
    ...(flag === undefined ? {} : { flag: flagOf(flag) }),
    ...(thread === undefined ? {} : { threadId: thread }),
  }
}

/** `parsed,failed` in any case. */
function statusesOf(text: string): MessageStatus[] {
  return text.split(',').map((word) => {
    const found = MESSAGE_STATUSES.find((status) => status === word.trim().toUpperCase())
    if (found !== undefined) return found
    const hint = word.trim().toUpperCase() === 'RECEIVED' ? '; RECEIVED mail is in the spool: ingestctl spool list' : ''
    throw new CliError(
      'usage',
      `--status must be of ${MESSAGE_STATUSES.join(', ')}, not ${JSON.stringify(word)}${hint}`,
    )
  })
}

/** A flag that no message can have is a slip of the hand. */
function flagOf(word: string): string {
  const known = [FLAGS, AUTOMATIC_KINDS, INDEX_FLAGS, POLICY_RULES].flatMap((each) => Object.keys(each))
  if (known.includes(word)) return word
  throw new CliError('usage', `--flag must be of ${known.join(', ')}, not ${JSON.stringify(word)}`)
}

export const QUARANTINE_COLUMNS: readonly Column<MessageJson>[] = [
  { head: 'RECEIVED (UTC)', of: (row) => timeText(row.receivedAt) },
  { head: 'ID', of: (row) => row.id },
  { head: 'TENANT', of: (row) => row.tenant },
  { head: 'REASON', of: (row) => row.reason ?? '', paint: () => 'red' },
  { head: 'FROM', of: (row) => row.mailFrom },
  { head: 'DETAIL', of: (row) => row.detail?.message ?? '' },
]

export async function list(call: Call<ListOptions>, columns = MESSAGE_COLUMNS): Promise<void> {
  const filter = filterOf(call)
  const store = await call.context.engines.store('read')
  await printed(call, store, (want) => listMessages(store, filter, want), columns)
  const waiting = await waitingCount(call.context)
  if (waiting > 0)
    call.output.note(
      `${countText(waiting, 'more entry', 'more entries')} in the spool (RECEIVED): ingestctl spool list`,
    )
}

export async function search(call: Call<ListOptions>): Promise<void> {
  const { query, hints } = parseQuery(call.args.join(' '))
  for (const hint of hints) call.output.note(hint)
  const filter = filterOf(call)
  const store = await call.context.engines.store('read')
  const now = call.context.clock.now()
  await printed(call, store, (want) => searchMessages(store, query, { ...want, filter, now }))
}

type ReadPage = (want: PageWant) => Promise<Page<Message>>

async function printed(
  call: Call<ListOptions>,
  store: Store,
  read: ReadPage,
  columns = MESSAGE_COLUMNS,
): Promise<void> {
  const { limit, ids } = call.options
  const pages = withRows(store, read, limit)
  if (ids !== true) return await call.output.pages(pages, columns)
  await call.output.bare(pages, (row) => row.id)
}

/** Pages until `limit` rows are read or there are no more. */
async function* withRows(store: Store, read: ReadPage, limit: number): AsyncGenerator<MessageJson[]> {
  let left = limit
  let cursor: string | undefined
  do {
    const page = await read({ limit: Math.min(left, PAGE_MAX), ...(cursor === undefined ? {} : { cursor }) })
    yield await withDocuments(store, page.rows)
    left -= page.rows.length
    cursor = page.next
  } while (left > 0 && cursor !== undefined)
}

export async function show(call: Call): Promise<void> {
  const row = await findOne(call.context, call.args[0] ?? '')
  const links = row.status === 'RECEIVED' ? NO_LINKS : await linksOf(await call.context.engines.store('read'), row)
  await call.output.facts({ ...row, ...links }, [...messageFacts(row), ...linkFacts(links)])
}

/** The bytes as received, from the object store or, while they are there, from the spool. */
export async function raw(call: Call<{ withTrace?: boolean }>): Promise<void> {
  const { context, output, options } = call
  if (output.forScripts)
    throw new CliError('usage', 'raw writes bytes, not rows; leave out --json, --ndjson and --plain')
  const row = await findOne(context, call.args[0] ?? '')
  const source = row.rawKey === '' ? await openWaiting(context, row.entryId) : await openStored(call, row)
  const { withTrace = false } = options
  if (withTrace) {
    const { returnPath, authenticationResults = '', received } = source.traceHeaders
    await output.data(Buffer.from(returnPath + authenticationResults + received))
  }
  const octets = withTrace ? handedOn(source.body, context.config().smtpHostname) : source.body
  await pipeline(octets, async (chunks: AsyncIterable<Uint8Array>) => {
    for await (const chunk of chunks) await output.data(chunk)
  })
}

async function openStored({ context, options }: Call<{ withTrace?: boolean }>, row: MessageJson) {
  const blobs = await context.engines.blobs()
  const traceHeaders: Envelope['traceHeaders'] = { returnPath: '', received: '' }
  if (options.withTrace === true) {
    const { body } = await objectAt(context, row.metaKey)
    const meta = JSON.parse(Buffer.concat(await body.toArray()).toString('utf8')) as MessageMeta
    Object.assign(traceHeaders, meta.envelope.traceHeaders)
  }
  const found = await blobs.get(row.rawKey)
  if (found === undefined) throw new CliError('missing', `the object ${row.rawKey} is not in the object store`)
  return { body: found.body, traceHeaders }
}

/** An object, or `missing`. */
export async function objectAt(context: Call['context'], key: string) {
  const found = await (await context.engines.blobs()).get(key)
  if (found === undefined) throw new CliError('missing', `the object ${key} is not in the object store`)
  return found
}
