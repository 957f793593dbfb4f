// The program of a parser process: takes a Job from its parent, answers with a Reply, one at a time. It has no timer and catches
// little: its parent watches the time and the memory, and takes whatever ends this process as the message's doing.

import { flushCompileCache } from 'node:module'
import { parseMessage, type Job, type Parsed } from './parse.ts'
import { isFileSystemError } from './trouble.ts'

/** `residentBytes`: what this process takes after the message. */
export type Reply = { ready: true } | ({ residentBytes: number } & (Parsed | { trouble: string }))

// The parent is gone: nobody would read the answer.
process.on('disconnect', () => process.exit())

process.on('message', (job: Job) => void answer(job))
// Now, since a process that is killed writes no cache, and before it has seen any message.
flushCompileCache()
send({ ready: true })

async function answer(job: Job): Promise<void> {
  const reply = await parseMessage(job).catch((thrown: unknown) => {
    // The work directory is full or gone. Anything else is unforeseen and ends this process.
    if (isFileSystemError(thrown)) return { trouble: thrown.message }
    throw thrown
  })
  send({ ...reply, residentBytes: process.memoryUsage.rss() })
}

function send(reply: Reply): void {
  process.send?.(reply)
}
