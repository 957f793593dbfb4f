// What a log leaves out: floods, and who people are.

import { expect, test } from 'vitest'
import type { Clock, Log } from '../ports/ports.ts'
import { FATES, jsonLog, withoutFloods } from './daemon.ts'
import { masked } from './masked.ts'

function recorded(linesMax: number, level = 'debug') {
  const lines: [string, Record<string, unknown>][] = []
  const keep = (fields: Record<string, unknown>, message: string) => void lines.push([message, fields])
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep }
  const time = { ms: 0 }
  const clock: Clock = { now: () => 0, monotonic: () => time.ms, sleep: async () => {} }
  return {
    lines,
    time,
    log: withoutFloods(
      { ...log, isLevelEnabled: (each) => level === 'debug' || each !== 'debug' },
      { clock, linesMax },
    ),
  }
}

test('of a flood the first lines are written, and how many were left out is told with the next line of any kind', () => {
  const { lines, time, log } = recorded(3)
  for (let nth = 0; nth < 10; nth++) log.info({ nth }, 'login refused')
  log.warn({}, 'spool takes no mail')
  expect(lines.map(([message]) => message)).toEqual([...Array(3).fill('login refused'), 'spool takes no mail'])
  time.ms = 10_000
  log.info({}, 'ready')
  expect(lines.slice(-2)).toEqual([
    ['lines left out', { line: 'login refused', leftOut: 7, inMs: 10_000 }],
    ['ready', {}],
  ])
})

test('a new while begins with its own count', () => {
  const { lines, time, log } = recorded(2)
  for (const ms of [0, 1, 2, 10_000, 10_001, 10_002, 20_000]) {
    time.ms = ms
    log.info({ ms }, 'message refused')
  }
  expect(lines.map(([message, { ms, leftOut }]) => (message === 'lines left out' ? leftOut : ms))).toEqual([
    0, 1, 1, 10_000, 10_001, 1, 20_000,
  ])
})

test.each([...FATES])('what became of accepted mail is always told: %s', (fate) => {
  const { lines, log } = recorded(1)
  for (let nth = 0; nth < 50; nth++) log.info({}, fate)
  expect(lines).toHaveLength(50)
})

test('lines below the level of the log are no flood, and a fate tells of one', () => {
  const { lines, time, log } = recorded(1, 'info')
  for (let nth = 0; nth < 5; nth++) log.debug({}, 'a probe came through')
  log.info({}, 'a probe came through')
  for (let nth = 0; nth < 3; nth++) log.info({}, 'login refused')
  time.ms = 10_000
  log.info({}, 'message accepted')
  expect(lines.map(([message]) => message)).toEqual([
    'a probe came through',
    'login refused',
    'lines left out',
    'message accepted',
  ])
})

test('0 is no limit', () => {
  const { lines, log } = recorded(0)
  for (let nth = 0; nth < 50; nth++) log.info({}, 'login refused')
  expect(lines).toHaveLength(50)
})

test.each([
  ['"to":"ann.smith+tag@example.org"', '"to":"…@example.org"', 'RFC 5321 4.1.2'],
  [
    '"error":"550 no such user <ann@example.org>, bob@example.net"',
    '"error":"550 no such user <…@example.org>, …@example.net"',
    'in a text',
  ],
  ['"to":"jürgen@bücher.example"', '"to":"…@bücher.example"', 'RFC 6531 3.3'],
  ['"to":"ann@[192.0.2.1]"', '"to":"…@[192.0.2.1]"', 'RFC 5321 4.1.3'],
  ['"to":"\\"ann smith\\"@example.org"', '"to":"…@example.org"', 'RFC 5321 4.1.2, a quoted string'],
  ['"proxy":"192.0.2.77"', '"proxy":"192.0.2.0/24"', 'a balancer'],
  ['"client":"192.0.2.77"', '"client":"192.0.2.0/24"', 'an IPv4 client'],
  ['"client":"2001:db8::1"', '"client":"2001:db8:0:0::/64"', 'an IPv6 client'],
  ['"client":"2001:db8:1:2:3:4:5:6"', '"client":"2001:db8:1:2::/64"', 'an IPv6 client in full'],
  [
    '"error":"connect ECONNREFUSED 127.0.0.1:9092"',
    '"error":"connect ECONNREFUSED 127.0.0.1:9092"',
    'an engine is nobody',
  ],
  ['"msg":"stopped @ noon"', '"msg":"stopped @ noon"', 'no address'],
])('%s is %s (%s)', (line, want, _why) => expect(masked(line)).toBe(want))

test('a masked line is still JSON, whatever stands in it', () => {
  const written: string[] = []
  const log = jsonLog('info', 'smtpd', { write: (line: string) => void written.push(masked(line)) })
  log.info({ to: 'a\\"b@example.org', err: new Error('bob@example.org\n"x"@y') }, 'message refused')
  expect(JSON.parse(written[0] ?? '')).toMatchObject({ stage: 'smtpd', msg: 'message refused' })
  expect(written[0]).not.toContain('bob')
})
