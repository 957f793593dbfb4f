// quarantine list, show: mail that was set aside with a reason. Sending it round again is in replay.ts.

import { CliError } from './exit.ts'
import { findOne } from './find.ts'
import { messageFacts } from './message-row.ts'
import * as messages from './messages.ts'
import type { Call } from './tree.ts'

interface ListOptions {
  tenant?: string
  reason?: string
  from?: string
  to?: string
  limit: number
  ids?: boolean
}

export async function list(call: Call<ListOptions>): Promise<void> {
  await messages.list({ ...call, options: { ...call.options, status: 'QUARANTINED' } }, messages.QUARANTINE_COLUMNS)
  if (call.output.format === 'people' && call.options.ids !== true) await byReason(call)
}

async function byReason(call: Call<ListOptions>): Promise<void> {
  const { countByReason } = await import('../store/store.ts')
  const filter = { ...messages.filterOf(call), status: 'QUARANTINED' as const }
  const counts = await countByReason(await call.context.engines.store('read'), filter)
  const texts = Object.entries(counts).map(([reason, count]) => `${count.toLocaleString('en-US')} ${reason}`)
  call.output.note(texts.length === 0 ? 'nothing is in quarantine' : `in all: ${texts.join(', ')}`)
}

export async function show(call: Call): Promise<void> {
  const row = await findOne(call.context, call.args[0] ?? '')
  if (row.status !== 'QUARANTINED') {
    throw new CliError(
      'conflict',
      `message ${row.id} is ${row.status}, not in quarantine; see: ingestctl messages show ${row.id}`,
    )
  }
  const fields = Object.entries(row.detail ?? {}).filter(([name]) => name !== 'message')
  const detail = fields.map(([name, value]): [string, string] => [`detail ${name}`, String(value)])
  await call.output.facts(row, [...messageFacts(row), ...detail])
}
