// The question before something large is done. Scripts say --yes; nobody else is asked on their behalf.

import { createInterface } from 'node:readline/promises'
import { CliError } from './exit.ts'
import type { Call } from './tree.ts'

/** Resolves when the answer is yes; else `usage` where nobody can be asked, `failure` where somebody said no. */
export async function confirm(call: Call<{ yes?: boolean }>, question: string): Promise<void> {
  const { context, options } = call
  if (options.yes === true) return
  if (!options.input || context.streams.input.isTTY !== true) {
    throw new CliError('usage', `${question} Say --yes to do it, --dry-run to see more.`)
  }
  const terminal = createInterface({ input: context.streams.input, output: context.streams.err })
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: context.signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('failure', 'nothing was done')
  } finally {
    terminal.close()
  }
}
