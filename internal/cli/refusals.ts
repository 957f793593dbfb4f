// refusals list: why a mail did not arrive, from the events that tell of refusals.

import { traceIdOf } from '../envelope/envelope.ts'
import type { EventData, LoggedEvent } from '../eventlog/eventlog.ts'
import { timeText } from './message-row.ts'
import type { Column } from './output.ts'
import { timesOf, type Call } from './tree.ts'

type RefusalRow = EventData<'ingest.refused'> & { traceId: string }

const COLUMNS: readonly Column<RefusalRow>[] = [
  { head: 'TIME (UTC)', of: (row) => timeText(row.at), paint: () => 'grey' },
  { head: 'TENANT', of: (row) => row.tenant },
  { head: 'REASON', of: (row) => row.reason, paint: (row) => (row.code >= 500 ? 'red' : 'yellow') },
  { head: 'TOLD', of: (row) => `${row.code} ${row.status} to ${row.stage}` },
  { head: 'FROM', of: (row) => row.senderDomain || '<>' },
  { head: 'TO', of: recipientsText },
  { head: 'NETWORK', of: (row) => row.peerNetwork },
  { head: 'AND', of: (row) => (row.suppressed === 0 ? '' : `+${row.suppressed}`), right: true },
  { head: 'REFUSAL', of: (row) => row.refusalId },
]

function recipientsText({ recipients, recipientCount }: RefusalRow): string {
  const more = recipientCount - recipients.length
  return recipients.join(', ') + (more > 0 ? ` and ${more} more` : '')
}

/** Events that are looked through for those of one reason. */
const LOOKED_AT = 10_000

interface RefusalOptions {
  tenant?: string
  reason?: string
  from?: string
  to?: string
  limit: number
}

export async function list(call: Call<RefusalOptions>): Promise<void> {
  const { tenant, reason, limit } = call.options
  const { from, until } = timesOf(call)
  const log = await call.context.engines.log('read')
  const wanted = reason === undefined ? limit : Math.max(limit, LOOKED_AT)
  const found = await log.query({
    type: 'ingest.refused',
    ...(tenant === undefined ? {} : { tenant }),
    ...(from === undefined ? {} : { fromMs: from }),
    ...(until === undefined ? {} : { toMs: until }),
    limit: wanted,
    newest: true,
  })
  const rows = found.map(refusalRow).filter((row) => reason === undefined || row.reason === reason)
  const shown = rows.slice(-limit)
  await call.output.rows(shown, COLUMNS)
  if (shown.some(({ suppressed }) => suppressed > 0))
    call.output.note('AND: refusals of that tenant for that reason before this one that are only counted')
  if (reason !== undefined && found.length === wanted)
    call.output.note(`only the last ${wanted} refusals were looked at; narrow them with --from, --to or --tenant`)
}

const refusalRow = ({ event }: LoggedEvent): RefusalRow => ({
  ...(event.data as EventData<'ingest.refused'>),
  traceId: traceIdOf(event.traceparent),
})
