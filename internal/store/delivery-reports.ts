// What delivery reports say (RFC 3464 2). A report names the mail that it reports on by that one's Message-ID; who has it is found when
// somebody asks, so that it does not matter which of the two came first.

import type { Selectable } from 'kysely'
import type { Queries, Tx } from './database.ts'
import type { DeliveryReport } from './rows.ts'
import type { Schema } from './schema.ts'

/** Reports on one mail that are shown; one for each recipient is usual. */
const REPORTS_MAX = 100

const fromRow = (row: Selectable<Schema['deliveryReports']>): DeliveryReport => ({
  ...row,
  recipients: JSON.parse(row.recipients) as DeliveryReport['recipients'],
})

/** Keeps what a message reports, in place of what it did: its report may be there still when the message itself was lost. */
export async function saveReport(tx: Tx, report: DeliveryReport): Promise<void> {
  const row = { ...report, recipients: JSON.stringify(report.recipients) }
  await tx.kysely
    .insertInto('deliveryReports')
    .values(row)
    .onConflict((found) => found.column('messageId').doUpdateSet(row))
    .execute()
}

/** What a message reports, if it is a report. */
export async function reportOf(on: Queries, messageId: string): Promise<DeliveryReport | undefined> {
  const row = await on.kysely
    .selectFrom('deliveryReports')
    .selectAll()
    .where('messageId', '=', messageId)
    .executeTakeFirst()
  return row && fromRow(row)
}

/** The reports that a tenant got on a mail, by the ids of their messages. */
export async function reportsOn(
  on: Queries,
  about: { tenant: string; headerMessageId: string },
): Promise<DeliveryReport[]> {
  const rows = await on.kysely
    .selectFrom('deliveryReports')
    .selectAll()
    .where('tenant', '=', about.tenant)
    .where('originalMessageId', '=', about.headerMessageId)
    .orderBy('messageId')
    .limit(REPORTS_MAX)
    .execute()
  return rows.map(fromRow)
}
