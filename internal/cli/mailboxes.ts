// mailboxes list, add, remove, enable, disable: plain addresses.

import { addMailbox, listMailboxes, removeMailbox, updateMailbox, type Mailbox } from '../store/store.ts'
import { paged, stamped, stateText } from './directory-rows.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

const MAILBOX_COLUMNS: readonly Column<Mailbox>[] = [
  { head: 'ADDRESS', of: (row) => row.address },
  { head: 'STATE', of: stateText, paint: (row) => (row.enabled ? 'green' : 'yellow') },
  { head: 'TENANT', of: (row) => row.tenant },
]

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const only = tenant === undefined ? {} : { tenant }
  const pages = paged(
    limit,
    (want) => listMailboxes(store, { ...want, ...only }),
    (row) => row.address,
  )
  await call.output.pages(pages, MAILBOX_COLUMNS, stamped)
}

export async function add(call: Call<{ tenant: string }>): Promise<void> {
  const store = await call.context.engines.store('write')
  const facts = { address: call.args[0] ?? '', tenant: call.options.tenant, now: call.context.clock.now() }
  await shown(call, await store.transaction((tx) => addMailbox(tx, facts)))
}

export async function remove(call: Call): Promise<void> {
  const store = await call.context.engines.store('write')
  await store.transaction((tx) => removeMailbox(tx, call.args[0] ?? ''))
  call.output.note(`removed mailbox ${call.args[0] ?? ''}; mail that came to it stays`)
}

export const enable = (call: Call): Promise<void> => set(call, true)
export const disable = (call: Call): Promise<void> => set(call, false)

async function set(call: Call, enabled: boolean): Promise<void> {
  const store = await call.context.engines.store('write')
  const now = call.context.clock.now()
  await shown(call, await store.transaction((tx) => updateMailbox(tx, call.args[0] ?? '', { enabled, now })))
}

async function shown(call: Call, row: Mailbox): Promise<void> {
  await call.output.facts(stamped(row), [
    ['address', row.address],
    ['state', stateText(row)],
    ['tenant', row.tenant],
  ])
}
