// A store as from a machine elsewhere.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../store.ts'

/** Every answer takes up to 4 ms longer: time for others to come in between. */
export function farAway(store: Store): Store {
  const kysely = store.kysely.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      await sleep(Math.random() * 4)
      return result
    },
  })
  const { dialect } = store
  return {
    kysely,
    dialect,
    transaction: (work) => kysely.transaction().execute((trx) => work({ kysely: trx, dialect, held: new Set() })),
    close: () => store.close(),
    singleRunner: (name, work, signal) => store.singleRunner(name, work, signal),
  }
}
