// Whether a receiver may get one more mail, by its quotas and its rates, and that it got one.

import { messageId } from '../envelope/envelope.ts'
import type { House } from './house.ts'
import type { ReplyName } from './replies.ts'
import { tenantsOf, type Transaction } from './transaction.ts'

/** Where a recipient belongs; `tenant` null: to nobody. */
export interface Belonging {
  tenant: string | null
  domain: string
}

/**
 * Takes a receiver into the transaction, or says why not, which is counted. A tenant gets one message, however many of the recipients
 * are its own: what the first was allowed the others are.
 */
export function crowded(house: House, transaction: Transaction, { tenant, domain }: Belonging): ReplyName | undefined {
  const { metrics, quotas, throttle, clock } = house
  const { receivers, size } = transaction
  const isNew = tenant !== null && !receivers.tenants.has(tenant)
  if (isNew && quotas?.hasRoom(tenant, size ?? 0) === false) {
    metrics.recipient('quota')
    return 'tenant_over_quota'
  }
  const tooMuch = throttle.join(receivers, tenant, domain, clock.monotonic())
  if (tooMuch !== undefined) metrics.recipient('rate')
  return tooMuch
}

/** The mail is durable: each receiver has it. */
export function gotMail(house: House, transaction: Transaction, mail: { sizeBytes: number; atMs: number }): void {
  const { quotas, throttle, clock } = house
  const { entryId = '', receivers } = transaction
  const { sizeBytes, atMs: receivedAtMs } = mail
  throttle.received(receivers, sizeBytes, clock.monotonic())
  for (const tenant of tenantsOf(transaction)) {
    quotas?.accepted({ messageId: messageId(entryId, tenant), tenant, sizeBytes, receivedAtMs })
  }
}
