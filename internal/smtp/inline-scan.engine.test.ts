// Mail that is scanned before its reply, with a real clamd.

import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { clamdUnavailable, EICAR, EICAR_NAME, startClamd, type Clamd } from '../../test/engines/clamd.ts'
import { clamdScanner } from '../scanner/clamd.ts'
import type { InlineScan } from './smtp.ts'
import { LIMITS, openBed, type Bed } from './testing/bed.ts'
import { Client } from './testing/client.ts'
import { filler } from './testing/dialog.ts'

const missing = clamdUnavailable()
const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }),
}

describe.skipIf(missing)(`a scan before the reply ${missing ?? ''}`, () => {
  let clamd: Clamd
  let bed: Bed
  beforeAll(async () => {
    clamd = await startClamd()
  })
  afterAll(() => clamd.stop())
  afterEach(() => bed.close())

  async function connected(change: Partial<InlineScan> = {}, connectionsMax = 2): Promise<Client> {
    const place = { host: '127.0.0.1', port: clamd.port }
    const scanner = clamdScanner({ place, timeoutMs: 500, connectionsMax, streamMaxBytes: 1e7, clock })
    const limits = { ...LIMITS, messageBytesMax: 5_000_000 }
    bed = await openBed({ limits, inlineScan: { scanner, down: 'defer', infected: 'reject', ...change } })
    const client = new Client(bed.port)
    await client.hello()
    return client
  }

  const kinds: [string, Buffer][] = [
    ['as it is', Buffer.from(`Subject: s\r\n\r\n${EICAR}\r\n`)],
    ['at the end of a body in a file of its own', Buffer.concat([filler(600_000), Buffer.from(`${EICAR}\r\n`)])],
  ]

  test.each(kinds)('EICAR %s is refused for good, and nothing of it stays', async (_where, content) => {
    const client = await connected()
    expect(await client.mail(content)).toBe('554 5.7.1 malware found')
    expect(await client.mail('Subject: s\r\n\r\nclean\r\n')).toMatch(/^250 2\.0\.0 accepted/)
    expect((await bed.kept()).map(({ envelope }) => envelope.scan)).toEqual([{ verdict: 'clean' }])
    expect(bed.reservedBytes()).toBe(0)
    expect(bed.log).toContainEqual(expect.objectContaining({ signature: EICAR_NAME }))
  })

  test.each(kinds)('EICAR %s is kept for the quarantine', async (_where, content) => {
    const client = await connected({ infected: 'quarantine' })
    expect(await client.mail(content)).toMatch(/^250 2\.0\.0 accepted/)
    const [kept] = await bed.kept()
    expect(kept?.envelope.scan).toEqual({ verdict: 'infected', signature: EICAR_NAME })
    expect(kept?.bytes.equals(content)).toBe(true)
  })

  test.each(['killed', 'frozen'])('%s, the sender keeps its mail; back again, the mail is taken', async (how) => {
    const client = await connected()
    if (how === 'killed') await clamd.kill()
    else clamd.freeze()
    try {
      expect(await client.mail('Subject: s\r\n\r\nclean\r\n')).toBe('451 4.7.1 cannot scan mail now, try again later')
      expect(await bed.kept()).toEqual([])
    } finally {
      if (how === 'killed') await clamd.start()
      else clamd.thaw()
    }
    expect(await client.mail('Subject: s\r\n\r\nclean\r\n')).toMatch(/^250 2\.0\.0 accepted/)
  })

  test('killed, it is taken without a word of a scan where that is the policy', async () => {
    const client = await connected({ down: 'accept' })
    await clamd.kill()
    try {
      expect(await client.mail(`Subject: s\r\n\r\n${EICAR}\r\n`)).toMatch(/^250 2\.0\.0 accepted/)
    } finally {
      await clamd.start()
    }
    expect((await bed.kept()).map(({ envelope }) => envelope.scan)).toEqual([undefined])
  })

  test('senders that take their time hold no connection of the scanner', async () => {
    const client = await connected({}, 1)
    const slow = new Client(bed.port)
    await slow.hello()
    for (const line of ['MAIL FROM:<a@sender.example>', 'RCPT TO:<ann@acme.example>', 'DATA']) await slow.say(line)
    slow.send('Subject: s\r\n\r\nthe rest comes late')
    expect(await client.mail('Subject: s\r\n\r\nclean\r\n')).toMatch(/^250 2\.0\.0 accepted/)
    expect(await slow.say('\r\n.')).toMatch(/^250 2\.0\.0 accepted/)
  })
})
