// A canary against a front door that answers as a test says, and a far end that knows what a test tells it.

import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from '@prometheus-io/client'
import { expect, onTestFinished, test } from 'vitest'
import type { Clock } from '../ports/ports.ts'
import { probe, type Failure, type Fate } from './probe.ts'

const ENTRY = '01890000-0000-7000-8000-000000000001'
const ACCEPTED = `250 2.0.0 accepted id=${ENTRY} trace=${'a'.repeat(32)}`

const START = Date.UTC(2026, 10, 28) / 1000
let now = START

/** Waits are fifty times shorter than they say; the wall clock moves by a second each time it is looked at. */
const clock: Clock = {
  now: () => now++ * 1000,
  monotonic: () => performance.now() * 50,
  sleep: (ms, signal) => sleep(ms / 50, undefined, signal && { signal }),
}

/** Answers RCPT and the final dot as it is told; a door that is `undefined` takes the connection and says nothing. */
async function door(answers: { rcpt?: string; dot?: string } | undefined): Promise<{ port: number; mail: string[] }> {
  const mail: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (answers === undefined) return
    let content = false
    const say = (line: string) => socket.write(`${line}\r\n`)
    say('220 mx.example ESMTP')
    socket.setEncoding('latin1').on('data', (text: string) => {
      mail.push(text)
      if (content) {
        if (!text.endsWith('\r\n.\r\n')) return
        content = false
        return say(answers.dot ?? ACCEPTED)
      }
      const verb = text.slice(0, 4).toUpperCase()
      content = verb === 'DATA'
      say(verb === 'RCPT' ? (answers.rcpt ?? '250 2.1.5 ok') : verb === 'DATA' ? '354 go' : '250 ok')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { port: (server.address() as AddressInfo).port, mail }
}

interface Setting {
  ports: readonly number[]
  /** Far away, unless a test waits for it. */
  deadlineMs?: number
  fateOf?: (entryId: string) => Promise<Fate>
}

/** Probes until `told` is a line of the log for as many rounds, and resolves with what was counted. */
async function probed(
  { ports, deadlineMs = 1_000_000, fateOf = async () => 'visible' }: Setting,
  rounds: number,
): Promise<string> {
  now = START
  const registry = new Registry()
  const stop = new AbortController()
  let seen = 0
  const count = () => {
    if (++seen === rounds) stop.abort()
  }
  let ids = 0
  await probe(
    {
      targets: ports.map((port) => ({ host: '127.0.0.1', port })),
      recipient: 'orders+canary@mail.example',
      hostname: 'probe.example',
      fateOf,
      everyMs: 1000,
      deadlineMs,
      clock,
      ids: { entryId: () => `id-${++ids}`, traceparent: () => '' },
      log: { debug: count, info: () => {}, warn: count, error: () => {} },
      registry,
    },
    stop.signal,
  )
  return registry.metrics()
}

const lastSuccess = (metrics: string): number => Number(/last_success_timestamp_seconds (\d+)/.exec(metrics)?.[1])

test('a mail that comes through moves the time of the last success, and nobody is to answer it (RFC 3834 5)', async () => {
  const { port, mail } = await door({})
  const fates: Fate[] = ['waiting', 'waiting', 'visible']
  const metrics = await probed({ ports: [port], fateOf: async () => fates.shift() ?? 'visible' }, 2)
  expect(lastSuccess(metrics)).toBeGreaterThan(START)
  expect(metrics).toContain('mail_ingest_probe_duration_seconds_count 2')
  expect(metrics).not.toMatch(/failures_total\{.*\} [1-9]/)
  expect(mail.join('')).toMatch(/RCPT TO:<orders\+canary@mail\.example>/)
  expect(mail.join('')).toMatch(/Auto-Submitted: auto-generated/i)
})

/** Whether it is the deadline that ends it. */
const waits = (failure: Failure, answers: unknown): boolean => failure === 'late' || answers === undefined

test.each<[Failure, Parameters<typeof door>[0] | 'closed', Fate | Error, string]>([
  ['unreachable', 'closed', 'visible', 'nobody listens'],
  ['unreachable', undefined, 'visible', 'a door that says nothing'],
  ['refused', { rcpt: '451 4.3.0 later' }, 'visible', 'a recipient that is refused'],
  ['refused', { dot: '452 4.3.1 full' }, 'visible', 'a mail that is refused'],
  ['refused', { dot: '250 queued as 4711' }, 'visible', 'the 250 of somebody else'],
  ['late', {}, 'waiting', 'accepted and never seen again'],
  ['late', {}, new Error('the store is away'), 'a far end that cannot be asked'],
  ['spoiled', {}, 'spoiled', 'in quarantine'],
])('%s: %j, then %s (%s)', async (failure, answers, fate, _why) => {
  const made = answers === 'closed' ? { port: 1 } : await door(answers)
  const fateOf = async () => {
    if (fate instanceof Error) throw fate
    return fate
  }
  const metrics = await probed(
    { ports: [made.port], deadlineMs: waits(failure, answers) ? 50_000 : 1_000_000, fateOf },
    1,
  )
  expect(metrics).toContain(`mail_ingest_probe_failures_total{failure="${failure}"} 1\n`)
  expect(metrics.match(/failures_total\{.*\} [1-9]/g)).toHaveLength(1)
  expect(metrics).toContain('mail_ingest_probe_duration_seconds_count 0')
})

test('of several front doors the one that waits longest is told', async () => {
  const good = await door({})
  const bad = await door({ rcpt: '451 4.3.0 later' })
  const metrics = await probed({ ports: [good.port, bad.port] }, 6)
  expect(metrics).toContain('mail_ingest_probe_duration_seconds_count')
  expect(lastSuccess(metrics)).toBe(START)
})
