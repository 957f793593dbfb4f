// The peer that throughput is compared with: the package smtp-server with the usual durable way of storing a message, a file of its
// own that is written, fsynced, renamed and its directory fsynced before the 250.

import { randomUUID } from 'node:crypto'
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { SMTPServer } from 'smtp-server'

const directory = process.argv[2] ?? ''
await mkdir(directory, { recursive: true })
const parent = await open(directory, 'r')

async function store(stream: AsyncIterable<Buffer>): Promise<string> {
  const id = randomUUID()
  const file = await open(join(directory, `${id}.tmp`), 'wx')
  for await (const chunk of stream) await file.write(chunk)
  await file.sync()
  await file.close()
  await rename(join(directory, `${id}.tmp`), join(directory, id))
  await parent.sync()
  return id
}

async function answer(
  stream: AsyncIterable<Buffer>,
  done: (error: Error | null, message?: string) => void,
): Promise<void> {
  try {
    done(null, `2.0.0 accepted id=${await store(stream)} trace=-`)
  } catch (error) {
    done(error as Error)
  }
}

const server = new SMTPServer({
  disabledCommands: ['AUTH', 'STARTTLS'],
  disableReverseLookup: true,
  onData: (stream, _session, done) => {
    void answer(stream, done)
  },
})
server.listen(0, '127.0.0.1', () => {
  const address = server.server.address()
  process.stdout.write(`listening ${typeof address === 'object' && address !== null ? address.port : ''}\n`)
})
