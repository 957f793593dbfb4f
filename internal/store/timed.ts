// Statements as Kysely tells of them, for whoever counts them.

import type { CompiledQuery, KyselyConfig } from 'kysely'
import type { Statement } from './metrics.ts'

/** Told of each statement that ended, well or not. */
export type OnQuery = (statement: Statement, seconds: number) => void

const KINDS: Readonly<Record<string, Statement>> = {
  SelectQueryNode: 'select',
  InsertQueryNode: 'insert',
  UpdateQueryNode: 'update',
  DeleteQueryNode: 'delete',
}
const BY_WORD: ReadonlyMap<string, Statement> = new Map(Object.values(KINDS).map((kind) => [kind, kind]))

/** By its first word where it is a text. */
const kindOf = ({ query, sql }: CompiledQuery): Statement =>
  KINDS[query.kind] ?? BY_WORD.get(/^\s*(\w+)/.exec(sql)?.[1]?.toLowerCase() ?? '') ?? 'other'

/** The part of Kysely's settings that tells `onQuery`. */
export const timedBy = (onQuery: OnQuery | undefined): Pick<KyselyConfig, 'log'> =>
  onQuery === undefined
    ? {}
    : {
        log: ({ query, queryDurationMillis }) => onQuery(kindOf(query), queryDurationMillis / 1000),
      }
