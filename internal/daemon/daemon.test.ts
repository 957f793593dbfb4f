import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Registry } from '@prometheus-io/client'
import { afterEach, describe, expect, test } from 'vitest'
import {
  jsonLog,
  newRegistry,
  openLog,
  openOperatorListener,
  readiness,
  systemIds,
  type OperatorListener,
} from './daemon.ts'

describe('ids', () => {
  test('entry ids are UUIDv7 and sort in the order they were made (RFC 9562 5.7)', () => {
    const times = [1000, 1000, 1000, 999, 1, 1000, 1001]
    let at = 0
    const ids = systemIds({ now: () => times[at++] ?? 1002 })
    const made = Array.from({ length: 5000 }, () => ids.entryId())
    expect(made.toSorted()).toEqual(made)
    expect(new Set(made).size).toBe(made.length)
    for (const id of made.slice(0, 10))
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  test('a traceparent has version 00 and the sampled flag (W3C Trace Context 3.2)', () => {
    expect(systemIds({ now: () => 1 }).traceparent()).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  })
})

describe('log', () => {
  test('one JSON line a record; line breaks of strangers stay inside it; secrets do not appear', () => {
    const stream = new PassThrough()
    jsonLog('info', 'smtpd', stream).info(
      { helo: 'x\n{"level":"error"}', token: 'hush', peer: { password: 'hush' } },
      'session',
    )
    const written = String(stream.read())
    expect(written.trimEnd().split('\n')).toHaveLength(1)
    expect(JSON.parse(written)).toMatchObject({ level: 'info', stage: 'smtpd', msg: 'session', token: '[redacted]' })
    expect(written).not.toContain('hush')
  })

  test.each([
    ['text', 'no connection to ann@sender.example', 'no connection to ann@sender.example'],
    ['nothing', null, null],
    ['an error under another name', Object.assign(new Error('x'), { token: 'hush', code: 'E' }), { code: 'E' }],
  ])('%s of an error is written as it is', (what, error, written) => {
    const lines: string[] = []
    const name = what.includes('another') ? 'cause' : 'error'
    jsonLog('info', 'smtpd', { write: (line) => void lines.push(line) }).warn({ [name]: error }, 'target failed')
    const found = (JSON.parse(lines[0] ?? '') as Record<string, unknown>)[name]
    if (typeof written === 'object' && written !== null) expect(found).toMatchObject(written)
    else expect(found).toBe(written)
    expect(lines[0]).not.toContain('hush')
  })

  test.each(['err', 'error'])("a secret on an error (%s) does not appear, and the fields stay the caller's", (name) => {
    const stream = new PassThrough()
    const fields = {
      [name]: Object.assign(new Error('refused'), { token: 'hush', code: 'E1' }),
      peer: { secret: 'hush' },
    }
    jsonLog('info', 'smtpd', stream).info(fields, 'session')
    const written = String(stream.read())
    expect(JSON.parse(written)).toMatchObject({
      [name]: {
        message: 'refused',
        code: 'E1',
        token: '[redacted]',
        stack: expect.stringContaining('refused') as string,
      },
      peer: { secret: '[redacted]' },
    })
    expect(written).not.toContain('hush')
    expect(fields.peer.secret).toBe('hush')
  })
})

/** Runs a program that imports this package, and gives it back. */
function program(text: string) {
  const face = join(import.meta.dirname, 'daemon.ts')
  const source = `import { openLog, runParts } from ${JSON.stringify(face)}\n${text}`
  return spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'pipe'] })
}

describe('a log on a full disk', () => {
  test('is never the trouble of whoever logs, and is told of once', async () => {
    const child = program(`
      const log = openLog({ level: 'info', file: '/dev/full', stage: 'smtpd' })
      for (let line = 0; line < 100; line += 1) log.info({}, 'message accepted'.repeat(1000))
      process.stdout.write('went on')
    `)
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)))
    child.stderr.on('data', (chunk: Buffer) => (err += String(chunk)))
    expect(await once(child, 'close')).toEqual([0, null])
    expect(out).toBe('went on')
    expect(err.match(/log lines cannot be written to \/dev\/full/g)).toHaveLength(1)
  })

  test('a file that cannot be opened is told of at once', () => {
    expect(() => openLog({ level: 'info', file: '/dev/null/x', stage: 'smtpd' })).toThrow(/ENOTDIR|EEXIST/)
  })
})

describe('signals', () => {
  test.each([
    ['SIGINT', 'SIGINT'],
    ['SIGINT', 'SIGTERM'],
    ['SIGTERM', 'SIGINT'],
  ] as const)('%s drains, %s on top of it ends the process at once', async (first, second) => {
    const child = program(`
      const log = openLog({ level: 'error', file: '-', stage: 'smtpd' })
      setInterval(() => undefined, 1000)
      const stop = () => new Promise(() => process.stdout.write('draining\\n'))
      const done = runParts([{ name: 'slow', stop }], log)
      process.stdout.write('ready\\n')
      await done
    `)
    await once(child.stdout, 'data')
    child.kill(first)
    expect(String(await once(child.stdout, 'data'))).toBe('draining\n')
    child.kill(second)
    expect(await once(child, 'close')).toEqual([130, null])
  })
})

describe('a part that does not stop', () => {
  test('is left behind after the time that all have; those after it are stopped, and the process says that it failed', async () => {
    const child = program(`
      const log = openLog({ level: 'error', file: '-', stage: 'indexerd' })
      setInterval(() => undefined, 1000)
      const stop = () => new Promise(() => undefined)
      const last = async () => void process.stdout.write('store closed\\n')
      const done = runParts([{ name: 'store', stop: last }, { name: 'frozen', stop }, { name: 'frozen too', stop }], log, 300)
      process.stdout.write('ready\\n')
      process.exit(await done)
    `)
    await once(child.stdout, 'data')
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += String(chunk)))
    const began = performance.now()
    child.kill('SIGTERM')
    expect(await once(child, 'close')).toEqual([1, null])
    expect(performance.now() - began).toBeLessThan(2000)
    expect(out).toMatch(/frozen too.*frozen.*store closed/s)
  })
})

describe('readiness', () => {
  test('all checks must hold; one that throws is a problem', () => {
    const broken = {
      name: 'store',
      problem: () => {
        throw new Error('locked')
      },
    }
    expect(readiness([{ name: 'spool', problem: () => undefined }])).toEqual({ ready: true, checks: { spool: 'ok' } })
    expect(readiness([broken])).toEqual({ ready: false, checks: { store: 'locked' } })
  })
})

describe("the operator's listener", () => {
  let listener: OperatorListener | undefined
  let problem: string | undefined
  afterEach(async () => {
    await listener?.close()
    listener = undefined
  })
  const open = async () => {
    const checks = [{ name: 'spool', problem: () => problem }]
    listener = await openOperatorListener({ host: '127.0.0.1', port: 0, registry: newRegistry('1.2.3', 'abc'), checks })
    return listener.url
  }
  const get = (url: string, headers: Record<string, string> = {}, method = 'GET') =>
    new Promise<{ status: number; body: string }>((resolve, reject) => {
      const sent = request(url, { headers, method }, (response) => {
        let body = ''
        response.on('data', (chunk: Buffer) => (body += String(chunk)))
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      })
      sent.on('error', reject)
      sent.end()
    })

  test('serves metrics with the build and the process', async () => {
    const { status, body } = await get(`${await open()}/metrics`)
    expect(status).toBe(200)
    expect(body).toMatch(/mail_ingest_build_info\{version="1.2.3",commit="abc",node="v\d+[^"]*"\} 1/)
    expect(body).toContain('mail_ingest_nodejs_eventloop_lag_seconds')
  })

  test('readiness follows the checks; liveness does not', async () => {
    const url = await open()
    problem = undefined
    expect((await get(`${url}/readyz`)).status).toBe(200)
    problem = 'poisoned'
    expect(await get(`${url}/readyz`)).toEqual({ status: 503, body: '{"ready":false,"checks":{"spool":"poisoned"}}\n' })
    expect((await get(`${url}/healthz`)).status).toBe(200)
  })

  test.each([
    ['/metrics', { host: 'evil.example' }, 'GET', 421, 'a name that was rebound to loopback'],
    ['/metrics', {}, 'POST', 405, 'reads only'],
    ['/', {}, 'GET', 404, 'nothing else is here'],
  ])('%s %o %s is %i (%s)', async (path, headers, method, status, _why) => {
    expect((await get(`${await open()}${path}`, headers as Record<string, string>, method)).status).toBe(status)
  })

  test('an address that is not loopback is refused, also when a name leads to it (R29)', async () => {
    await expect(
      openOperatorListener({ host: '0.0.0.0', port: 0, registry: new Registry(), checks: [] }),
    ).rejects.toThrow(/not a loopback address/)
  })
})
