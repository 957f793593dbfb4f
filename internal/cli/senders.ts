// senders list, allow, block, remove: the senders that a tenant takes or refuses by name.

import type { Listing } from '../envelope/envelope.ts'
import { listSender, listSenders, senderKey, unlistSender, type ListedSender } from '../store/store.ts'
import { paged } from './directory-rows.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

const COLUMNS: readonly Column<ListedSender>[] = [
  { head: 'SENDER', of: (row) => row.sender },
  { head: 'LIST', of: (row) => row.listing, paint: (row) => (row.listing === 'allow' ? 'green' : 'yellow') },
  { head: 'TENANT', of: (row) => row.tenant },
]

const stamped = (row: ListedSender) => ({ ...row, updatedAt: new Date(row.updatedAt).toISOString() })

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const pages = paged(
    limit,
    (want) => listSenders(store, { ...want, ...(tenant === undefined ? {} : { tenant }) }),
    senderKey,
  )
  await call.output.pages(pages, COLUMNS, stamped)
}

export const put =
  (listing: Listing) =>
  async (call: Call<{ tenant: string }>): Promise<void> => {
    const store = await call.context.engines.store('write')
    const { tenant } = call.options
    const given = { tenant, sender: call.args[0] ?? '', listing, now: call.context.clock.now() }
    const row = await store.transaction((tx) => listSender(tx, given))
    await call.output.facts(stamped(row), [
      ['sender', row.sender],
      ['list', row.listing],
      ['tenant', row.tenant],
    ])
  }

export async function remove(call: Call<{ tenant: string }>): Promise<void> {
  const store = await call.context.engines.store('write')
  const given = { tenant: call.options.tenant, sender: call.args[0] ?? '' }
  await store.transaction((tx) => unlistSender(tx, given))
  await call.output.facts({ ...given, removed: true }, [['removed', given.sender]])
}
