// The end of a transaction: counted, charged to the client, one line in the log, and the end of its span.

import { traceIdOf } from '../envelope/envelope.ts'
import type { House } from './house.ts'
import { FATE_MESSAGES, type Fate } from './metrics.ts'
import { tenantsOf, type Transaction } from './transaction.ts'

/** `client`: its address, and the name that it logged in with. `more` fields for the log. */
export function settleFate(
  { clock, metrics, throttle, log }: Pick<House, 'clock' | 'metrics' | 'throttle' | 'log'>,
  client: { address: string; credential: string | undefined },
  { transaction, fate, more }: { transaction: Transaction; fate: Fate; more: Record<string, unknown> },
): void {
  metrics.transaction(fate)
  const octets = transaction.body?.bytes ?? 0
  throttle.noteOctets(client.address, octets, clock.monotonic())
  const fields = {
    entryId: transaction.entryId,
    tenants: tenantsOf(transaction),
    traceId: traceIdOf(transaction.traceparent),
    client: client.address,
    credential: client.credential,
    recipients: transaction.recipients.size,
    discarded: transaction.discarded.size,
    declaredBytes: transaction.size,
    receivedBytes: transaction.body?.bytes,
    reason: fate.reason,
    ...more,
  }
  log.info(fields, FATE_MESSAGES[fate.result])
  transaction.span.end({
    entry_id: transaction.entryId,
    bytes: octets,
    recipients: transaction.recipients.size,
    ...fate,
  })
}
