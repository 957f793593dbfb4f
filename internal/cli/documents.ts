// documents list, get: the attachments of messages.

import { pipeline } from 'node:stream/promises'
import { documentsOf, getDocument, listDocuments, type Document, type PageWant } from '../store/store.ts'
import { CliError } from './exit.ts'
import { findOne } from './find.ts'
import { documentJson } from './message-row.ts'
import { objectAt } from './messages.ts'
import type { Column } from './output.ts'
import { sizeText } from './quantity.ts'
import type { Call } from './tree.ts'

const COLUMNS: readonly Column<Document>[] = [
  { head: 'ID', of: (row) => row.id },
  { head: 'MESSAGE', of: (row) => row.messageId },
  { head: 'SIZE', of: (row) => sizeText(row.sizeBytes), right: true },
  { head: 'TYPE', of: (row) => row.contentType },
  { head: 'FILE NAME', of: (row) => row.filename },
]

const jsonOf = (row: Document) => ({ ...documentJson(row), messageId: row.messageId, tenant: row.tenant, key: row.key })

const PAGE_MAX = 1000

interface ListOptions {
  tenant?: string
  type?: string
  sha256?: string
  limit: number
}

export async function list(call: Call<ListOptions>): Promise<void> {
  const [id] = call.args
  const store = await call.context.engines.store('read')
  if (id !== undefined) {
    const { id: messageId } = await findOne(call.context, id)
    return await call.output.rows(await documentsOf(store, [messageId]), COLUMNS, jsonOf)
  }
  const { tenant, type, sha256, limit } = call.options
  const filter = {
    ...(tenant === undefined ? {} : { tenant }),
    ...(type === undefined ? {} : { contentType: type }),
    ...(sha256 === undefined ? {} : { sha256 }),
  }
  await call.output.pages(
    paged((want) => listDocuments(store, filter, want), limit),
    COLUMNS,
    jsonOf,
  )
}

async function* paged(read: (want: PageWant) => ReturnType<typeof listDocuments>, limit: number) {
  let left = limit
  let cursor: string | undefined
  do {
    const page = await read({ limit: Math.min(left, PAGE_MAX), ...(cursor === undefined ? {} : { cursor }) })
    yield page.rows
    left -= page.rows.length
    cursor = page.next
  } while (left > 0 && cursor !== undefined)
}

/** The content's bytes to stdout. */
export async function get(call: Call): Promise<void> {
  if (call.output.forScripts)
    throw new CliError('usage', 'get writes bytes, not rows; leave out --json, --ndjson and --plain')
  const store = await call.context.engines.store('read')
  const document = await getDocument(store, call.args[0] ?? '')
  const { body } = await objectAt(call.context, document.key)
  await pipeline(body, async (chunks: AsyncIterable<Uint8Array>) => {
    for await (const chunk of chunks) await call.output.data(chunk)
  })
}
