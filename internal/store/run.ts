// Statements of constant text, for what runs with every mail: making one out of parts costs as much as sending it.

import { CompiledQuery } from 'kysely'
import type { Queries } from './database.ts'

/**
 * Runs a statement with `$1`, `$2` and so on in it, each once and in this order, and resolves with its rows: columns named as the
 * schema of Kysely has them.
 */
export async function run<R>({ kysely, dialect }: Queries, text: string, values: readonly unknown[]): Promise<R[]> {
  const { rows } = await kysely.executeQuery<R>(CompiledQuery.raw(dialect.textOf(text), [...values]))
  return rows
}
