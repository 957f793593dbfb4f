// Automatic replies through the real ports: DNS, our own front door, and the relay that the replies go to, which is that front door again.

import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { beforeAll, afterAll, expect, onTestFinished, test } from 'vitest'
import { startRelay } from '../internal/outbound/testing/bed.ts'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import {
  addMailbox,
  listMessages,
  listOutbound,
  seedFirstStart,
  setAutoReply,
  type MessageFilter,
} from '../internal/store/store.ts'
import { startNsd, txtData, type Nsd } from './engines/nsd.ts'
import { Session } from './mail.ts'
import { eventually, pause, startSystem, temporaryFolder, type System } from './system.ts'

const ANN = 'ann@mail.localhost'
const BOB = 'bob@mail.localhost'

let nsd: Nsd
beforeAll(async () => {
  nsd = await startNsd({ records: [['mail.localhost', 'TXT', txtData('v=spf1 ip4:127.0.0.1 -all')]] })
})
afterAll(() => nsd.stop())

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A system whose mailboxes of ann and bob both answer, and its store beside it. */
async function replying(port: number, outbound: number) {
  const dataDir = temporaryFolder()
  const store = await openSqliteStore({ file: join(dataDir, 'store.db'), busyTimeoutMs: 2000 })
  onTestFinished(() => store.close())
  await seedFirstStart(store, { domain: 'mail.localhost', now: Date.now() })
  for (const address of [ANN, BOB]) {
    await addMailbox(store, { address, tenant: 'acme', now: Date.now() })
    await setAutoReply(store, { address, body: 'I am away.\n', now: Date.now() })
  }
  const start = () =>
    startSystem(dataDir, {
      SMTP_PORT: String(port),
      SMTP_AUTHENTICATION: 'all',
      SMTP_DNS_SERVERS: nsd.server,
      OUTBOUND_URL: `smtp://127.0.0.1:${outbound}`,
      OUTBOUND_TLS: 'opportunistic',
    })
  return {
    start,
    system: await start(),
    messages: async (filter: MessageFilter = {}) => (await listMessages(store, filter, { limit: 10 })).rows,
    outbound: async () => (await listOutbound(store, {}, { limit: 10 })).rows,
  }
}

async function send({ smtpPort }: System, from: string, to: string, id: string): Promise<string> {
  const session = await Session.open(smtpPort)
  const text = `From: ${from}\r\nTo: ${to}\r\nSubject: Hello\r\nMessage-ID: <${id}@mail.localhost>\r\n\r\nhello\r\n`
  const reply = await session.send(from, [to], Buffer.from(text))
  session.close()
  return reply
}

test('two mailboxes that answer each other answer once, and do not loop', async () => {
  const port = await freePort()
  const { system, messages, outbound } = await replying(port, port)
  expect(await send(system, ANN, BOB, 'one')).toMatch(/^250 /)
  const [answer] = await eventually(async () => {
    const rows = await messages({ mailbox: ANN })
    return rows.length === 0 ? undefined : rows
  })
  expect(answer).toMatchObject({
    mailFrom: '',
    subject: 'Auto: Hello',
    flags: expect.arrayContaining(['bounce', 'auto_reply']) as string[],
  })
  // A second mail within the week is not answered, and the answer was answered by nobody.
  expect(await send(system, ANN, BOB, 'two')).toMatch(/^250 /)
  await eventually(async () => ((await messages({ mailbox: BOB })).length === 2 ? true : undefined))
  await pause(2500)
  expect(await outbound()).toMatchObject([{ mail: { to: ANN }, state: 'sent', attempts: 1 }])
  expect(await messages()).toHaveLength(3)
  await system.stop()
})

test('SIGKILL while a reply is being sent: the next process sends it, with the same Message-ID', async () => {
  let isStuck = true
  const { relay, taken, sessions } = await startRelay({
    onRecipient: () => (isStuck ? new Promise(() => undefined) : undefined),
  })
  const { system, start, outbound } = await replying(await freePort(), relay.port)
  await send(system, ANN, BOB, 'one')
  await eventually(async () => (sessions() > 0 ? true : undefined))
  const [before] = await outbound()
  expect(before).toMatchObject({ state: 'sending', attempts: 1 })
  await system.stop('SIGKILL')
  isStuck = false
  const again = await start()
  await eventually(async () => (taken.length > 0 ? true : undefined))
  await eventually(async () => ((await outbound())[0]?.state === 'sent' ? true : undefined))
  expect(await outbound()).toMatchObject([{ id: before?.id, attempts: 2 }])
  expect(taken.map(({ from, to }) => [from, to])).toEqual([['', [ANN]]])
  expect(taken[0]?.text).toContain(`Message-ID: <auto-${before?.id}@mail.localhost>`)
  await again.stop()
})
