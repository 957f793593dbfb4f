// What the lists of tenants, domains and mailboxes have in common.

/** Rows a page of the store has. */
const PAGE_MAX = 1000

/** Pages of a list that goes on after its last key. */
export async function* paged<T>(
  limit: number,
  read: (want: { limit: number; after?: string }) => Promise<T[]>,
  keyOf: (row: T) => string,
) {
  let left = limit
  let after: string | undefined
  do {
    const want = Math.min(left, PAGE_MAX)
    const rows = await read(after === undefined ? { limit: want } : { limit: want, after })
    yield rows
    left -= rows.length
    const last = rows.at(-1)
    after = last === undefined || rows.length < want ? undefined : keyOf(last)
  } while (left > 0 && after !== undefined)
}

const isoOf = (ms: number): string => new Date(ms).toISOString()
/** The row with its times as ISO texts. */
export const stamped = <T extends { createdAt: number; updatedAt: number }>(row: T) => ({
  ...row,
  createdAt: isoOf(row.createdAt),
  updatedAt: isoOf(row.updatedAt),
})

export const stateText = ({ enabled }: { enabled: boolean }): string => (enabled ? 'enabled' : 'disabled')
