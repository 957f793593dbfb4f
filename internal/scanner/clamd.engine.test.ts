// The client against a real clamd, with a signature of our own.

import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clamdUnavailable, EICAR, EICAR_NAME, startClamd, type Clamd } from '../../test/engines/clamd.ts'
import { scannerUrl } from '../config/parse.ts'
import { clamdScanner, type ClamdOptions } from './clamd.ts'
import { measured, watchScanner } from './scanner.ts'

const missing = clamdUnavailable()
const STREAM_MAX = 1024 * 1024

const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) => sleep(ms, undefined, signal && { signal }),
}
const silent = { debug() {}, info() {}, warn() {}, error() {} }

async function* pieces(...texts: readonly (string | Uint8Array)[]) {
  for (const text of texts) yield Buffer.from(text)
}

const clean = 'Subject: s\r\n\r\nnothing here\r\n'
const attached = `Subject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n${Buffer.from(EICAR).toString('base64')}\r\n--b--\r\n`
const found = { verdict: 'infected', signature: EICAR_NAME }

describe.skipIf(missing)(`clamd ${missing ?? ''}`, () => {
  let clamd: Clamd
  beforeAll(async () => {
    clamd = await startClamd({ streamMaxBytes: STREAM_MAX })
  })
  afterAll(() => clamd?.stop())

  const scannerAt = (url: string, change: Partial<ClamdOptions> = {}) => {
    const place = scannerUrl(url)
    if (place === undefined) throw new TypeError(url)
    return clamdScanner({ place, timeoutMs: 10_000, connectionsMax: 4, streamMaxBytes: STREAM_MAX, clock, ...change })
  }

  describe.each(['url', 'socketUrl'] as const)('at its %s', (where) => {
    test.each([
      ['nothing found', [clean], { verdict: 'clean' }],
      ['no octets at all', [], { verdict: 'clean' }],
      ['EICAR as it is', [EICAR], found],
      ['EICAR in the text', [clean, EICAR], found],
      ['EICAR in an attachment in base64', [attached], found],
      ['EICAR cut into octets', EICAR.split(''), found],
      ['chunks of no octets, which end nothing', ['', clean, '', '', EICAR, ''], found],
    ])('%s', async (_what, texts, verdict) => {
      expect(await scannerAt(clamd[where]).scan(pieces(...texts))).toEqual(verdict)
    })

    test('as much as it takes is scanned', async () => {
      const filler = Buffer.alloc(STREAM_MAX - EICAR.length, 'x\r\n')
      expect(await scannerAt(clamd[where]).scan(pieces(filler, EICAR))).toEqual(found)
    })

    test('an octet more, and far more, is too large, every time', async () => {
      const scanner = scannerAt(clamd[where])
      for (let count = 0; count < 20; count += 1) {
        const over = [Buffer.alloc(STREAM_MAX), 'x']
        const far = Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024))
        for (const each of [over, far]) expect(await scanner.scan(pieces(...each))).toEqual({ verdict: 'too_large' })
      }
    })

    // It is told while we still write, and the connection is closed behind it.
    test('a limit of clamd that is lower than ours is learnt from it, or clamd counts as away', async () => {
      const scanner = scannerAt(clamd[where], { streamMaxBytes: 1e9 })
      const far = Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024))
      // On a busy machine the closing is seen first more often than not.
      const told: unknown[] = []
      const twentyMore = async () => {
        const scans = Array.from({ length: 20 }, () => scanner.scan(pieces(...far)).catch((error: unknown) => error))
        told.push(...(await Promise.all(scans)))
        return told
      }
      await expect.poll(twentyMore, { timeout: 60_000 }).toContainEqual({ verdict: 'too_large' })
      for (const each of told.filter((one) => one instanceof Error))
        expect(each).toMatchObject({ fault: 'unreachable' })
    })

    test('says what it is', async () => {
      expect(await scannerAt(clamd[where]).version()).toMatch(/^ClamAV \d/)
    })
  })

  test('while it stands still a scan ends in time and holds no more than a few buffers; then it goes on', async () => {
    const scanner = scannerAt(clamd.url, { timeoutMs: 500, streamMaxBytes: Number.POSITIVE_INFINITY })
    let octets = 0
    async function* endless() {
      for (;;) {
        octets += 64 * 1024
        yield Buffer.alloc(64 * 1024)
      }
    }
    clamd.freeze()
    try {
      await expect(scanner.scan(endless())).rejects.toMatchObject({ fault: 'timeout' })
      await expect(scanner.scan(pieces(clean))).rejects.toMatchObject({ fault: 'timeout' })
      await expect(scanner.version()).rejects.toMatchObject({ fault: 'timeout' })
    } finally {
      clamd.thaw()
    }
    expect(octets).toBeLessThan(32 * 1024 * 1024)
    expect(await scanner.scan(pieces(EICAR))).toEqual(found)
  })

  test('killed in mid-stream, down, and back again', async () => {
    const scanner = scannerAt(clamd.url)
    async function* killing() {
      yield Buffer.from(clean)
      await clamd.kill()
      yield Buffer.from(clean)
      yield Buffer.from(clean)
    }
    await expect(scanner.scan(killing())).rejects.toMatchObject({ fault: 'unreachable' })
    await expect(scanner.scan(pieces(clean))).rejects.toMatchObject({ fault: 'unreachable' })
    await expect(scannerAt(clamd.socketUrl).scan(pieces(clean))).rejects.toMatchObject({ fault: 'unreachable' })
    await clamd.start()
    expect(await scanner.scan(pieces(EICAR))).toEqual(found)
    expect(await scannerAt(clamd.socketUrl).scan(pieces(EICAR))).toEqual(found)
  })

  test('what is wrong with the body is told as it is, and an abort ends the scan', async () => {
    const scanner = scannerAt(clamd.url)
    const broken = new Error('says the disk')
    async function* breaking() {
      yield Buffer.from(clean)
      throw broken
    }
    await expect(scanner.scan(breaking())).rejects.toBe(broken)
    const stop = new AbortController()
    async function* stopping() {
      yield Buffer.from(clean)
      stop.abort()
      await sleep(50)
      yield Buffer.from(clean)
    }
    await expect(scanner.scan(stopping(), stop.signal)).rejects.toMatchObject({ name: 'ScannerError' })
  })

  test('no more connections than allowed', async () => {
    const scanner = scannerAt(clamd.url, { connectionsMax: 2 })
    let open = 0
    let most = 0
    async function* slow() {
      most = Math.max(most, (open += 1))
      yield Buffer.from(clean)
      await sleep(20)
      yield Buffer.from(clean)
      open -= 1
    }
    await Promise.all(Array.from({ length: 8 }, () => scanner.scan(slow())))
    expect(most).toBe(2)
  })

  test('results and seconds are counted, from zero on', async () => {
    const registry = new Registry()
    const scanner = measured(scannerAt(clamd.url, { timeoutMs: 300 }), { registry, clock, name: 'clamd' })
    const counts = async () => {
      const { values } = (await registry.getSingleMetric('mail_ingest_scanner_requests_total')?.get()) ?? { values: [] }
      return Object.fromEntries(values.map(({ labels, value }) => [labels['result'], value]))
    }
    const zero = { clean: 0, infected: 0, too_large: 0, unreachable: 0, timeout: 0, failed: 0 }
    expect(await counts()).toEqual(zero)
    await scanner.scan(pieces(clean))
    await scanner.scan(pieces(EICAR))
    await scanner.scan(pieces(Buffer.alloc(STREAM_MAX + 1)))
    clamd.freeze()
    await scanner.scan(pieces(clean)).catch(() => 'as it should')
    clamd.thaw()
    expect(await counts()).toEqual({ ...zero, clean: 1, infected: 1, too_large: 1, timeout: 1 })
  })

  test('whether it is up is told without mail', async () => {
    const registry = new Registry()
    const stop = new AbortController()
    const quick = { ...clock, sleep: (_ms: number, signal?: AbortSignal) => clock.sleep(10, signal) }
    const watching = watchScanner(scannerAt(clamd.url, { timeoutMs: 500 }), {
      registry,
      clock: quick,
      log: silent,
      signal: stop.signal,
    })
    const up = async () => (await registry.getSingleMetric('mail_ingest_scanner_up')?.get())?.values[0]?.value
    await expect.poll(up).toBe(1)
    await clamd.kill()
    await expect.poll(up).toBe(0)
    await clamd.start()
    await expect.poll(up).toBe(1)
    stop.abort()
    await watching
  })
})
