// Statements as Kysely tells of them, for whoever counts them.

import type { KyselyConfig } from 'kysely'
import type { Statement } from './metrics.ts'

/** Told of each statement that ended, well or not. */
export type OnQuery = (statement: Statement, seconds: number) => void

const KINDS: Readonly<Record<string, Statement>> = {
  SelectQueryNode: 'select',
  InsertQueryNode: 'insert',
  UpdateQueryNode: 'update',
  DeleteQueryNode: 'delete',
}

/** The part of Kysely's settings that tells `onQuery`. */
export const timedBy = (onQuery: OnQuery | undefined): Pick<KyselyConfig, 'log'> =>
  onQuery === undefined
    ? {}
    : {
        log: ({ query, queryDurationMillis }) =>
          onQuery(KINDS[query.query.kind] ?? 'other', queryDurationMillis / 1000),
      }
