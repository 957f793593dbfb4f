// Whom a refusal concerns: the tenants of the recipients that it was said of. What has no tenant (relay attempts, domains that are not ours,
// tenants that do not exist) is counted and told to nobody.

import type { Committed } from './body.ts'
import type { Greeted, House, Peer } from './house.ts'
import type { RefusalReason, Told } from './refusals.ts'
import { REPLIES, type Reply } from './replies.ts'
import { networkOf } from './throttle.ts'
import { accepted, type Transaction } from './transaction.ts'
import type { Mailbox } from '../envelope/envelope.ts'

/** Who speaks. */
export interface Speaker {
  peer: Peer
  greeted: Greeted | undefined
  /** Of the credential that it logged in with. */
  tenant: string | undefined
}

/** What the client was told, and why. */
type Said = Pick<Reply, 'code' | 'status'> & { readonly reason?: RefusalReason }

/** Addresses in one event. */
const RECIPIENTS_MAX = 10
/** Of texts that a client chose, characters. */
const TEXT_MAX = 255
const ADDRESS_MAX = 320

/** A recipient was answered so; a refusal is told to the tenant whose address it is, if it is one's. */
export function tellOfRecipient(
  house: House,
  speaker: Speaker,
  { transaction, mailbox, answer }: { transaction: Transaction; mailbox: Mailbox; answer: Reply },
): void {
  if (answer.code < 400) return
  const tenant = house.directory.concerns(mailbox)
  if (tenant === undefined) return
  house.refusals.tell({ ...factsOf(speaker, transaction, answer), stage: 'rcpt', ...shareOf(tenant, [mailbox.text]) })
}

/** A refusal that ends a transaction is told to all tenants of its recipients; before there are any, to the one that logged in. */
export function tellOfEnd(house: House, speaker: Speaker, transaction: Transaction, answer: Said): void {
  const facts = factsOf(speaker, transaction, answer)
  if (accepted(transaction) === 0) {
    if (speaker.tenant !== undefined) house.refusals.tell({ ...facts, stage: 'mail', ...shareOf(speaker.tenant, []) })
    return
  }
  const content = contentOf(transaction)
  for (const [tenant, addresses] of byTenant([...transaction.recipients.values(), ...transaction.discarded.values()]))
    house.refusals.tell({ ...facts, ...content, stage: 'data', ...shareOf(tenant, addresses) })
}

/** The client was too slow, and was told so. */
export function tellOfTimeout(house: House, speaker: Speaker, transaction: Transaction): void {
  tellOfEnd(house, speaker, transaction, { ...REPLIES.too_slow, reason: 'timeout' })
}

/** Mail that was taken and is let go: the sender is not to know, the tenant of the domain is. */
export function tellOfDiscarded(
  house: House,
  speaker: Speaker,
  transaction: Transaction,
  { sizeBytes, sha256 }: Pick<Committed, 'sizeBytes' | 'sha256'>,
): void {
  const answer: Said = { ...REPLIES.accepted, reason: 'unknown_rcpt' }
  const facts = { ...factsOf(speaker, transaction, answer), ...contentOf(transaction), sizeBytes, sha256 }
  for (const [tenant, addresses] of byTenant([...transaction.discarded.values()]))
    house.refusals.tell({ ...facts, stage: 'discarded', ...shareOf(tenant, addresses) })
}

const shareOf = (tenant: string, addresses: readonly string[]) => ({
  tenant,
  recipients: addresses.slice(0, RECIPIENTS_MAX).map((address) => address.slice(0, ADDRESS_MAX)),
  recipientCount: addresses.length,
})

function byTenant(all: readonly { address: string; tenant: string | null }[]): Map<string, string[]> {
  const shares = new Map<string, string[]>()
  for (const { address, tenant } of all)
    if (tenant !== null) shares.set(tenant, [...(shares.get(tenant) ?? []), address])
  return shares
}

type Facts = Omit<Told, 'stage' | 'tenant' | 'recipients' | 'recipientCount'>

function factsOf({ peer, greeted }: Speaker, transaction: Transaction, answer: Said): Facts {
  const { mailFrom, size, traceparent } = transaction
  return {
    reason: answer.reason ?? 'other',
    code: answer.code,
    status: answer.status,
    senderDomain: mailFrom
      .slice(mailFrom.lastIndexOf('@') + 1)
      .toLowerCase()
      .slice(0, TEXT_MAX),
    peerNetwork: networkOf(peer.address),
    helo: (greeted?.name ?? '').slice(0, TEXT_MAX),
    traceparent,
    ...(size !== undefined && { sizeBytes: size }),
  }
}

/** What is known once content was begun. */
const contentOf = ({ entryId, body }: Transaction) => ({
  ...(entryId !== undefined && { entryId }),
  ...(body !== undefined && { sizeBytes: body.bytes }),
})
