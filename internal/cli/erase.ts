// tenants erase: everything of a tenant goes, from the store and the object store; what cannot go by itself is said.

import type { BlobStore } from '../blob/blob.ts'
import {
  beginErasure,
  endErasure,
  eraseSome,
  erasureOf,
  findTenant,
  holdingsOf,
  type Holdings,
} from '../store/store.ts'
import { confirmByTyping } from './confirm.ts'
import type { Context } from './context.ts'
import { CliError, type Exit } from './exit.ts'
import { progressLine } from './progress.ts'
import { countText, sizeText } from './quantity.ts'
import type { Call } from './tree.ts'

interface EraseOptions {
  dryRun?: boolean
  yes?: boolean
}

/** What there is of a tenant. */
interface Found extends Holdings {
  objects: number
  objectBytes: number
}

/** Objects deleted at one time. */
const DELETES = 16

const STAYS =
  'What was told of its mail stays in the event log until its retention is over, and in backups until they are deleted.'

export async function erase(call: Call<EraseOptions>): Promise<Exit | void> {
  const { context, output, options } = call
  const tenant = call.args[0] ?? ''
  const found = await foundOf(context, tenant)
  const text = foundText(found)
  if (options.dryRun === true) return await output.facts({ tenant, ...found }, [[tenant, text]])
  await confirmByTyping(call, `This erases tenant ${tenant} for good: ${text}.`, tenant)
  const store = await context.engines.store('write')
  await store.transaction((tx) => beginErasure(tx, tenant, context.clock.now()))
  const exit = await eraseAll(context, tenant, found.messages + found.objects)
  if (exit !== undefined) return exit
  await endErasure(store, tenant, context.clock.now())
  await output.facts({ tenant, erased: found }, [['erased', `${tenant}: ${text}`]])
  output.note(`${STAYS}\nMail of it that is still in a spool goes as soon as it is handed on.`)
}

/** Rejects with `missing` where nothing is known of the tenant. */
async function foundOf({ engines }: Context, tenant: string): Promise<Found> {
  const store = await engines.store('read')
  const known = (await findTenant(store, tenant)) !== undefined || (await erasureOf(store, tenant)) !== undefined
  const holdings = await holdingsOf(store, tenant)
  if (!known && Object.values(holdings).every((count) => count === 0))
    throw new CliError('missing', `no tenant ${JSON.stringify(tenant)}`)
  const found = { ...holdings, objects: 0, objectBytes: 0 }
  const blobs = await engines.blobs()
  for await (const { sizeBytes } of blobs.list(`${tenant}/`)) {
    found.objects += 1
    found.objectBytes += sizeBytes
  }
  return found
}

function foundText(found: Found): string {
  const { messages, documents, events, mailboxes, domains, credentials, objects, objectBytes } = found
  return [
    countText(messages, 'message'),
    countText(documents, 'document'),
    `${countText(objects, 'object')} (${sizeText(objectBytes)})`,
    countText(events, 'event'),
    countText(mailboxes, 'mailbox', 'mailboxes'),
    countText(domains, 'domain'),
    countText(credentials, 'credential'),
  ].join(', ')
}

/** Objects first: while their rows are there it can be seen what is left. */
async function eraseAll(context: Context, tenant: string, total: number): Promise<Exit | undefined> {
  const { engines, signal, streams } = context
  const progress = progressLine(context)
  const store = await engines.store('write')
  let done = 0
  const seen = (count: number) => progress.show({ done: (done += count), failed: 0, total: Math.max(total, done) })
  try {
    for await (const count of deleted(await engines.blobs(), `${tenant}/`)) {
      seen(count)
      if (signal.aborted) break
    }
    while (!signal.aborted) {
      const count = await eraseSome(store, tenant)
      if (count === 0) return undefined
      seen(count)
    }
  } finally {
    progress.end()
  }
  streams.err.write(`interrupted; go on with: ingestctl tenants erase ${tenant}\n`)
  return 'interrupted'
}

/** Deletes all objects under `prefix`, and yields how many after each few. */
async function* deleted(blobs: BlobStore, prefix: string): AsyncGenerator<number> {
  let keys: string[] = []
  const flush = async () => {
    await Promise.all(keys.map((key) => blobs.delete(key)))
    return keys.splice(0).length
  }
  for await (const { key } of blobs.list(prefix)) {
    keys.push(key)
    if (keys.length === DELETES) yield await flush()
  }
  keys = [...keys]
  yield await flush()
}
