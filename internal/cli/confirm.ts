// The question before something large is done. Scripts say --yes; nobody else is asked on their behalf.

import { createInterface } from 'node:readline/promises'
import { CliError } from './exit.ts'
import type { Call } from './tree.ts'

/** Resolves when the answer is yes; else `usage` where nobody can be asked, `failure` where somebody said no. */
export async function confirm(call: Call<{ yes?: boolean }>, question: string): Promise<void> {
  const answer = await answerTo(call, question, '[y/N]')
  if (answer !== undefined && !/^y(es)?$/i.test(answer)) throw new CliError('failure', 'nothing was done')
}

/** The same for what cannot be undone: the answer is `word`. */
export async function confirmByTyping(call: Call<{ yes?: boolean }>, statement: string, word: string): Promise<void> {
  const answer = await answerTo(call, statement, `Type ${word} to do it:`)
  if (answer !== undefined && answer !== word) throw new CliError('failure', 'nothing was done')
}

/** What was typed; undefined where `--yes` answers everything. */
async function answerTo(call: Call<{ yes?: boolean }>, question: string, hint: string): Promise<string | undefined> {
  const { context, options } = call
  if (options.yes === true) return undefined
  if (!options.input || context.streams.input.isTTY !== true) {
    throw new CliError('usage', `${question} Say --yes to do it, --dry-run to see more.`)
  }
  const terminal = createInterface({ input: context.streams.input, output: context.streams.err })
  try {
    return (await terminal.question(`${question} ${hint} `, { signal: context.signal })).trim()
  } finally {
    terminal.close()
  }
}
