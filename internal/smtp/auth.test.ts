// Logging in: the same work for everybody, and not too often.

import { afterEach, describe, expect, test } from 'vitest'
import { Attempts, Turns } from './attempts.ts'
import { clientOf } from './throttle.ts'
import { openBed, type Bed, type BedOptions } from './testing/bed.ts'
import { Client } from './testing/client.ts'

const plain = (name: string, secret: string): string =>
  `AUTH PLAIN ${Buffer.from(`\0${name}\0${secret}`).toString('base64')}`

describe('on the submission listener', () => {
  let bed: Bed
  afterEach(() => bed.close())

  /** A client that has had its EHLO inside TLS. */
  async function inside(): Promise<Client> {
    const client = new Client(bed.port)
    await client.hello()
    await client.say('STARTTLS')
    await client.secure()
    await client.say('EHLO c')
    return client
  }

  /** Every check that was made: whether it had a hash to compare with. */
  const counted = (checks: boolean[]): BedOptions => ({
    checkSecret: async (_secret, hash) => {
      checks.push(hash !== undefined)
      return false
    },
  })

  test('a name that nobody has costs one check and is told what a wrong secret is', async () => {
    const checks: boolean[] = []
    bed = await openBed({ listener: 'submission', ...counted(checks) })
    const told = []
    for (const name of ['app', 'nobody', 'closed', 'x'.repeat(5000), '']) {
      const client = await inside()
      told.push(await client.say(plain(name, 'wrong')))
      client.socket.destroy()
    }
    expect(new Set(told)).toEqual(new Set(['535 5.7.8 authentication credentials invalid']))
    expect(checks).toEqual([true, false, true, false, false])
  })

  test('after ten failures a network waits, with no more checks; its good logins do not count', async () => {
    const checks: boolean[] = []
    let ahead = 0
    bed = await openBed({
      listener: 'submission',
      monotonic: () => performance.now() + ahead,
      limits: { sessionTimeoutMs: 1e9, idleTimeoutMs: 1e9 },
      checkSecret: async (secret) => (checks.push(true), secret === 'open sesame'),
    })
    const once = async (secret: string) => {
      const client = await inside()
      const told = await client.say(plain('app', secret))
      client.socket.destroy()
      return told?.slice(0, 9)
    }
    for (let turn = 0; turn < 10; turn += 1) {
      expect(await once('open sesame')).toBe('235 2.7.0')
      expect(await once('wrong')).toBe('535 5.7.8')
    }
    expect(await once('open sesame')).toBe('454 4.7.0')
    expect(checks).toHaveLength(20)
    const counted = await bed.registry.metrics()
    for (const count of ['ok"} 10', 'denied"} 10', 'limited"} 1'])
      expect(counted).toContain(`smtp_auth_attempts_total{result="${count}\n`)
    ahead = 500_000
    expect(await once('open sesame')).toBe('454 4.7.0')
    ahead = 600_001
    expect(await once('open sesame')).toBe('235 2.7.0')
  })

  test('without a directory it is temporary, and no failure', async () => {
    const login = { credential: () => ({ kind: 'unavailable' as const }) }
    bed = await openBed({ listener: 'submission', directory: (real) => ({ ...real, ...login }) })
    const client = await inside()
    for (let turn = 0; turn < 12; turn += 1) expect(await client.say(plain('app', 'x'))).toMatch(/^454 4\.7\.0/)
  })

  test('a credential that is revoked meanwhile sends no more', async () => {
    let revoked = false
    bed = await openBed({
      listener: 'submission',
      directory: (real) => ({ ...real, maySendAs: (...asked) => (revoked ? 'no' : real.maySendAs(...asked)) }),
    })
    const client = await inside()
    expect(await client.say(plain('app', 'open sesame'))).toMatch(/^235/)
    expect(await client.say('MAIL FROM:<ann@acme.example>')).toMatch(/^250/)
    revoked = true
    await client.say('RSET')
    expect(await client.say('MAIL FROM:<ann@acme.example>')).toMatch(/^550 5\.7\.1/)
  })

  test('no secret gets into the log', async () => {
    bed = await openBed({ listener: 'submission' })
    const client = await inside()
    await client.say(plain('nobody', 'wrong-secret'))
    await client.say(plain('app', 'open sesame'))
    const log = JSON.stringify(bed.log)
    expect(log).toContain('"credential":"app"')
    expect(log).not.toMatch(/wrong-secret|open sesame/)
  })
})

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:0DB8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s is counted as %s', (address, want) => {
  expect(clientOf(address)).toBe(want)
})

test('attempts: bounded in memory, whoever tries', () => {
  const attempts = new Attempts({ monotonic: () => 0 })
  for (let turn = 0; turn < 10; turn += 1) attempts.begin('192.0.2.1')
  expect(attempts.begin('192.0.2.1')).toBe(false)
  for (let n = 0; n < 10_000; n += 1) attempts.begin(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`)
  expect(attempts.begin('192.0.2.1')).toBe(true)
})

test('attempts: a whole /64 is one network, and no more than that', () => {
  const attempts = new Attempts({ monotonic: () => 0 })
  for (let turn = 1; turn <= 10; turn += 1) attempts.begin(`2001:db8::${turn}`)
  expect(attempts.begin('2001:db8::ffff')).toBe(false)
  expect(attempts.begin('2001:db8:0:1::1')).toBe(true)
})

test('turns: two at a time, in order; 64 wait, more are sent away; a failure gives its turn on', async () => {
  const turns = new Turns()
  const done: number[] = []
  const open: (() => void)[] = []
  let most = 0
  const work = (n: number) => async () => {
    most = Math.max(most, open.length + 1)
    await new Promise<void>((resolve) => open.push(resolve))
    done.push(n)
    if (n === 0) throw new Error('broken')
    return n
  }
  const all = Array.from({ length: 67 }, (_unused, n) => turns.take(work(n)).catch(() => 'broken'))
  expect(await all[66]).toBeUndefined()
  for (let turn = 0; turn < 66; turn += 1) {
    open.shift()?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(await Promise.all(all.slice(0, 3))).toEqual(['broken', 1, 2])
  expect(done).toEqual(Array.from({ length: 66 }, (_unused, n) => n))
  expect(most).toBe(2)
  const last = turns.take(async () => 'again')
  expect(await last).toBe('again')
})
