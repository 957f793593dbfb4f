// db: the schema of the store, and the steps that bring it up to date.

import type { Column } from './output.ts'
import type { Call } from './tree.ts'

export interface MigrateOptions {
  dryRun?: boolean
}

const COLUMNS: readonly Column<string>[] = [{ head: 'STEP', of: (step) => step }]

/** Lists the steps that the schema lacks, once they are taken; none is with `--dry-run`. */
export async function migrate(call: Call<MigrateOptions>): Promise<void> {
  const schema = await call.context.engines.schema()
  const steps = await schema.pending()
  if (call.options.dryRun !== true) await schema.migrate()
  await call.output.rows(steps, COLUMNS, (step) => ({ step }))
  if (steps.length === 0) call.output.note('the schema is up to date')
}
