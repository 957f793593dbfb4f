// Mail that is accepted and still in the spool: read without a lock, beside whatever runs. Its status is RECEIVED.

import type { Readable } from 'node:stream'
import { inspect, type InspectedEntry } from '../../spool/spool.ts'
import { messageId, traceIdOf, type Envelope } from '../envelope/envelope.ts'
import type { Context } from './context.ts'
import { CliError } from './exit.ts'
import { onItsWay, type MessageJson } from './message-row.ts'

/** An entry as scripts see it. */
export interface WaitingJson {
  id: string
  traceId: string
  state: InspectedEntry['state']
  /** Why it was set aside. */
  reason: string | null
  receivedAt: string
  sizeBytes: number
  sha256: string
  mailFrom: string
  recipients: string[]
  tenants: string[]
  client: string
}

export const envelopeOf = (item: InspectedEntry): Envelope => item.envelope as Envelope

export function waitingJson(item: InspectedEntry): WaitingJson {
  const envelope = envelopeOf(item)
  return {
    id: item.id,
    traceId: traceIdOf(envelope.traceparent),
    state: item.state,
    reason: item.reason ?? null,
    receivedAt: envelope.receivedAt,
    sizeBytes: item.sizeBytes,
    sha256: item.sha256,
    mailFrom: envelope.mailFrom,
    recipients: envelope.recipients.map(({ address }) => address),
    tenants: [...new Set(envelope.recipients.map(({ tenant }) => tenant))],
    client: envelope.client.address,
  }
}

/** What waits, the oldest first, then what was set aside; with `done` also what was handed on and is still on the disk. */
export async function* spoolItems({ engines }: Context, want: { done?: boolean } = {}): AsyncGenerator<InspectedEntry> {
  const spool = inspect(engines.spool)
  yield* spool.entries(want)
  yield* spool.aside()
}

/** Entries that one of `ids` means: as entry, as trace, or as one of the messages that they become. */
async function itemsFor(context: Context, ids: readonly string[]): Promise<InspectedEntry[]> {
  const found: InspectedEntry[] = []
  for await (const item of spoolItems(context, { done: true })) if (ids.some((id) => means(item, id))) found.push(item)
  return found
}

function means(item: InspectedEntry, id: string): boolean {
  const { id: entryId, traceId, tenants } = waitingJson(item)
  return entryId === id || traceId === id || tenants.some((tenant) => messageId(entryId, tenant) === id)
}

export async function waitingEntries(context: Context, ids: readonly string[]): Promise<WaitingJson[]> {
  return (await itemsFor(context, ids)).map(waitingJson)
}

/** The messages that the entries found by `id` will become: one for each tenant. */
export async function waitingMessages(context: Context, id: string): Promise<MessageJson[]> {
  const messages = (await itemsFor(context, [id])).flatMap((item) =>
    waitingJson(item).tenants.map((tenant) => receivedMessage(item, tenant)),
  )
  return messages.some((row) => row.id === id) ? messages.filter((row) => row.id === id) : messages
}

function receivedMessage(item: InspectedEntry, tenant: string): MessageJson {
  const { id: entryId, traceId, receivedAt, sizeBytes, sha256, mailFrom, client } = waitingJson(item)
  const recipients = envelopeOf(item).recipients.filter((each) => each.tenant === tenant)
  return onItsWay({
    id: messageId(entryId, tenant),
    entryId,
    tenant,
    mailbox: recipients[0]?.mailbox ?? '',
    receivedAt,
    sizeBytes,
    sha256,
    traceId,
    reason: item.reason ?? null,
    mailFrom,
    recipients: recipients.map(({ address }) => address),
    clientAddress: client,
  })
}

export interface WaitingSummary {
  pending: number
  pendingBytes: number
  aside: number
  /** Stretches of the log that failed their checksum; each may have held an accepted entry. */
  damaged: number
  /** When the oldest pending entry came, milliseconds since 1970. */
  oldestAt?: number
}

export async function waitingSummary(context: Context): Promise<WaitingSummary> {
  const summary: WaitingSummary = { pending: 0, pendingBytes: 0, aside: 0, damaged: 0 }
  for await (const item of spoolItems(context)) {
    if (item.state === 'aside') summary.aside += 1
    else {
      summary.pending += 1
      summary.pendingBytes += item.sizeBytes
      const at = new Date(envelopeOf(item).receivedAt).getTime()
      summary.oldestAt = Math.min(summary.oldestAt ?? at, at)
    }
  }
  for await (const _ of inspect(context.engines.spool).damaged()) summary.damaged += 1
  return summary
}

/** Says so where `id` is an entry whose bytes in the log failed their checksum: it was accepted and cannot be handed on. */
export async function mustNotBeDamaged({ engines }: Context, id: string): Promise<void> {
  for await (const { id: damaged, file } of inspect(engines.spool).damaged()) {
    if (damaged !== id) continue
    throw new CliError(
      'failure',
      `entry ${id} was damaged on the disk; what is left of it is in ${engines.spool.dir}/${file}`,
    )
  }
}

export const waitingCount = async (context: Context): Promise<number> => (await waitingSummary(context)).pending

/** The bytes of an entry, and our header lines. `missing` when it has just left the spool. */
export async function openWaiting(
  context: Context,
  entryId: string,
): Promise<{ body: Readable; traceHeaders: Envelope['traceHeaders'] }> {
  const [item] = await itemsFor(context, [entryId])
  if (item === undefined) throw new CliError('missing', `entry ${entryId} has just left the spool; try again`)
  return { body: item.open(), traceHeaders: envelopeOf(item).traceHeaders }
}
