// Many who keep us busy, and one who brings a mail. FLOOD_SESSIONS and FLOOD_NOOPS make it as long as one likes.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, expect, test } from 'vitest'
import { openBed, type Bed } from './testing/bed.ts'
import { Client } from './testing/client.ts'

const SESSIONS = Number(process.env['FLOOD_SESSIONS'] ?? 500)
const NOOPS = Number(process.env['FLOOD_NOOPS'] ?? 5000)
const FLOODERS = 20
/** Sessions whose content comes an octet at a time. */
const SLOW = 50
const SLOW_OCTETS_MAX = 500
/** Octets of one idle session, our test's client with its own socket included. */
const SESSION_BYTES_MAX = 60_000

let bed: Bed
afterEach(async () => bed.close())

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** A client whose content is under way. */
async function slowSender(port: number): Promise<Client> {
  const client = new Client(port)
  await client.hello()
  for (const line of ['MAIL FROM:<ann@sender.example>', 'RCPT TO:<orders+acme@mail.example>']) await client.say(line)
  expect(await client.say('DATA')).toMatch(/^354/)
  client.send('Subject: slow\r\n\r\n')
  return client
}

const heapBytes = (): number => {
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test('idle sessions, slow senders and a flood of NOOP cost bounded memory, and a mail is taken meanwhile', async () => {
  bed = await openBed({
    limits: {
      sessionsMax: SESSIONS + SLOW + FLOODERS + 10,
      idleTimeoutMs: 300_000,
      dataTimeoutMs: 300_000,
      sessionTimeoutMs: 300_000,
    },
  })
  const beforeBytes = heapBytes()
  const idle: Client[] = []
  while (idle.length < SESSIONS) {
    // Fewer at once than a listening socket keeps waiting.
    const some = Array.from({ length: Math.min(100, SESSIONS - idle.length) }, () => new Client(bed.port))
    await Promise.all(some.map((client) => client.hello()))
    idle.push(...some)
  }
  expect((heapBytes() - beforeBytes) / SESSIONS).toBeLessThan(SESSION_BYTES_MAX)

  const left = { noops: NOOPS }
  const flood = async () => {
    while (left.noops > 0) {
      const client = new Client(bed.port)
      await client.hello()
      // A hundred and twenty, and the session is told that it is enough.
      do left.noops -= 1
      while (left.noops > 0 && (await client.say('NOOP'))?.startsWith('250'))
      client.socket.destroy()
    }
  }
  const floodedBytes = heapBytes()
  const slow = await Promise.all(Array.from({ length: SLOW }, () => slowSender(bed.port)))
  const flooding = Array.from({ length: FLOODERS }, flood)
  const replies: (string | undefined)[] = []
  const sender = new Client(bed.port)
  await sender.hello()
  const delayMs: number[] = []
  while (left.noops > 0) {
    // A mail stays as small as the front door wants it, however long the flood.
    if (replies.length < SLOW_OCTETS_MAX) for (const client of slow) client.send('x')
    const beganMs = performance.now()
    replies.push(await sender.mail('Subject: x\r\n\r\nx\r\n'))
    delayMs.push(performance.now() - beganMs)
  }
  await Promise.all(flooding)
  const grownBytes = heapBytes() - floodedBytes
  delayMs.sort((a, b) => a - b)
  const p99Ms = Math.round(delayMs[Math.floor(delayMs.length * 0.99)] ?? 0)
  if (process.env['FLOOD_NOOPS'] !== undefined) {
    process.stdout.write(
      `${JSON.stringify({ SESSIONS, NOOPS, mails: replies.length, p99Ms, grownBytes, rss: process.memoryUsage().rss })}\n`,
    )
  }
  expect(replies.length).toBeGreaterThan(0)
  expect(replies.filter((reply) => !reply?.startsWith('250 2.0.0'))).toEqual([])
  expect(grownBytes).toBeLessThan(20_000_000)
  // Their sessions and what they had sent were held all the while.
  for (const client of slow) expect(await client.say('\r\n.')).toMatch(/^250 2\.0\.0/)
  for (const client of [...idle, ...slow, sender]) client.socket.destroy()
})
