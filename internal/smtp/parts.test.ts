// The small parts of the front door, each as a table.

import { readFileSync } from 'node:fs'
import { Registry } from '@prometheus-io/client'
import { describe, expect, test } from 'vitest'
import { addressArgument, commandText } from './arguments.ts'
import { HeaderScan } from './header-scan.ts'
import { COMMANDS, LIMITERS, smtpMetrics } from './metrics.ts'
import { RecentMessages } from './recent.ts'
import { REPLIES, type Reply } from './replies.ts'
import { traceHeaders, type TraceFacts } from './trace-headers.ts'

describe('replies', () => {
  const rows: [string, Reply][] = Object.entries(REPLIES)

  test('an enhanced code is of the class of its reply, and only the greetings, 334 and 354 have none (RFC 2034 4)', () => {
    const wrong = rows.filter(
      ([, { code, status }]) => status !== '' && !status.startsWith(`${Math.floor(code / 100)}.`),
    )
    // 500 and 554 rows that end the session are still 5.x.
    expect(wrong).toEqual([])
    expect(rows.filter(([, { status }]) => status === '').map(([name]) => name)).toEqual([
      'greeting',
      'hello',
      'go_ahead',
      'auth_challenge',
    ])
  })

  test('every limit has its reply, and is counted when it is said', () => {
    const said = rows.flatMap(([, { limiter }]) => limiter ?? [])
    expect(said.toSorted()).toEqual(LIMITERS.toSorted())
  })

  test('docs/limits.md has every limit, with its answer', () => {
    const page = readFileSync('docs/limits.md', 'utf8')
    const shown = rows.flatMap(([, { code, status, limiter }]) => (limiter ? [{ code, status, limiter }] : []))
    const missing = shown.filter(
      ({ code, status, limiter }) => !new RegExp(`\\| ${code} ${status}[^|]* \\| \`${limiter}\` \\|`).test(page),
    )
    expect(missing).toEqual([])
  })

  test('a 421 ends the session (RFC 5321 3.8)', () => {
    expect(rows.filter(([, { code, closes }]) => code === 421 && closes !== true)).toEqual([])
  })
})

describe('arguments', () => {
  test.each([
    ['MAIL FROM:<a@b> SIZE=1', 'a@b', { SIZE: '1' }, '5321 4.1.1.2'],
    ['mail from:<>', '', {}, '5321 4.5.5'],
    ['MAIL FROM:  <a@b>', 'a@b', {}, 'a blank after the colon harms nobody'],
    ['MAIL FROM:<"a>b c"@d> body=x', '"a>b c"@d', { BODY: 'x' }, '5321 4.1.2 quoted bracket and blank'],
    ['RCPT TO:<"a\\"b"@d>  ', '"a\\"b"@d', {}, '5321 4.1.2 quoted pair; 4.1.1 trailing blanks'],
  ])('%j', (command, path, parameters, _why) => {
    expect(addressArgument(command)).toEqual({ path, parameters: new Map(Object.entries(parameters)) })
  })

  test.each([
    ['MAIL FROM:a@b', 'bad_argument', '5321 4.1.2 no brackets'],
    ['MAIL TO:<a@b>', 'bad_argument', '5321 4.1.1.2'],
    ['MAIL', 'bad_argument', '5321 4.1.1.2'],
    ['MAIL FROM:<a@b', 'bad_argument', '5321 4.1.2'],
    ['MAIL FROM:<a b>', 'bad_argument', '5321 4.1.2 a bare blank'],
    ['MAIL FROM:<a@b>\rRCPT TO:<c@d>', 'bad_argument', 'a bare CR'],
    ['MAIL FROM:<a@b> =1', 'bad_parameter', '5321 4.1.2 esmtp-param'],
    ['MAIL FROM:<a@b> X=', 'bad_parameter', '5321 4.1.2 esmtp-value'],
    ['MAIL FROM:<a@b> X=ö', 'bad_encoding', '5321 4.1.2 esmtp-value is ASCII'],
    ['MAIL FROM:<a@b> X x=1', 'bad_parameter', '5321 4.1.1.11 a keyword twice'],
  ])('%j is %s (%s)', (command, fault, _why) => {
    expect(addressArgument(command)).toBe(fault)
  })

  test('blanks without end take no time', () => {
    const started = performance.now()
    addressArgument(`MAIL FROM:<a@b>${' '.repeat(100_000)}x<`)
    addressArgument(`MAIL FROM:<${'"'.repeat(99_999)}`)
    expect(performance.now() - started).toBeLessThan(100)
  })

  test('malformed UTF-8 is no text (RFC 6531 3.3)', () => {
    expect(commandText(Buffer.from([0x6d, 0xff]))).toBeUndefined()
    expect(commandText(Buffer.from('ö'))).toBe('ö')
  })
})

describe('trace headers (RFC 5321 4.4)', () => {
  const facts: TraceFacts = {
    entryId: 'e1',
    hostname: 'mx.example',
    address: '192.0.2.1',
    helo: 'c.example',
    extended: true,
    authenticated: false,
    smtpUtf8: false,
    mailFrom: '',
    recipients: ['a@b.example', 'c@b.example'],
    receivedAtMs: Date.UTC(2026, 0, 2, 3, 4, 5),
  }
  const firstLine = (more: Partial<TraceFacts>): string | undefined =>
    traceHeaders({ ...facts, ...more }).received.split('\r\n')[0]

  test.each([
    [{}, 'Received: from c.example ([192.0.2.1])', 'a domain'],
    [{ helo: '[192.0.2.9]' }, 'Received: from [192.0.2.9] ([192.0.2.1])', '4.1.3 an address literal'],
    [{ address: '2001:db8::1' }, 'Received: from c.example ([IPv6:2001:db8::1])', '4.1.3 IPv6'],
    [{ helo: 'a_b)\r\nX: y' }, 'Received: from [192.0.2.1] (helo a_b???X: y)', 'header injection'],
    [{ helo: '(((' }, 'Received: from [192.0.2.1] (helo ???)', '5322 3.2.2 comments stay closed'],
    [{ helo: 'bücher' }, 'Received: from [192.0.2.1] (helo b?cher)', 'ASCII only'],
    [{ helo: 'x'.repeat(300) }, `Received: from [192.0.2.1] (helo ${'x'.repeat(100)})`, 'bounded'],
  ])('%j gives %j (%s)', (more, want, _why) => {
    expect(firstLine(more)).toBe(want)
  })

  const tls = { version: 'TLSv1.2', cipher: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' }
  test.each<[Partial<TraceFacts>, string, string]>([
    [{ extended: false }, 'SMTP', '5321 4.4 HELO'],
    [{ extended: false, tls }, 'SMTP', '3848 2 has no letters for HELO'],
    [{}, 'ESMTP', '5321 4.4 EHLO'],
    [{ tls }, 'ESMTPS', '3848 2 TLS'],
    [{ tls, authenticated: true }, 'ESMTPSA', '3848 2 TLS and AUTH'],
    [{ smtpUtf8: true }, 'UTF8SMTP', '6531 3.7.3'],
    [{ smtpUtf8: true, tls, authenticated: true }, 'UTF8SMTPSA', '6531 3.7.3'],
  ])('%j is with %s (%s)', (more, want, _why) => {
    expect(traceHeaders({ ...facts, ...more }).received).toContain(`with ${want} id`)
  })

  test('what TLS agreed on stands behind the other clauses (RFC 8314 4.3)', () => {
    expect(traceHeaders({ ...facts, recipients: ['a@b.example'], tls }).received).toContain(
      '\r\n\tfor <a@b.example>\r\n\ttls TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 (TLSv1.2); Fri',
    )
  })

  test('lines end with CRLF, the date is UTC, and no one of several recipients is named', () => {
    expect(traceHeaders(facts)).toEqual({
      returnPath: 'Return-Path: <>\r\n',
      received:
        'Received: from c.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id e1; Fri, 02 Jan 2026 03:04:05 +0000\r\n',
    })
  })
})

describe('Message-ID', () => {
  const scan = (text: string, step = text.length): string => {
    const scanner = new HeaderScan()
    for (let at = 0; at < text.length; at += step) scanner.feed(Buffer.from(text.slice(at, at + step), 'latin1'))
    return scanner.messageId
  }

  test.each([
    ['Subject: x\r\nMessage-ID: <1@a>\r\n\r\n', '<1@a>', '5322 3.6.4'],
    ['MESSAGE-id :<1@a>\r\n\r\n', '<1@a>', '5322 4.5 blanks before the colon'],
    ['Message-ID:\r\n <1@a>\r\nTo: x\r\n\r\n', '<1@a>', '5322 2.2.3 folded'],
    ['To: x\r\n Message-ID: <no@a>\r\nMessage-ID: <1@a>\r\n\r\n', '<1@a>', '5322 2.2.3 inside another field'],
    ['Message-ID: <1@a>\r\nMessage-ID: <2@a>\r\n\r\n', '<1@a>', 'the first counts'],
    ['Message-ID: <1@a>\nTo: x\n\n', '<1@a>', 'bare LF'],
    ['Subject: x\r\n\r\nMessage-ID: <1@a>\r\n', '', 'in the body'],
    ['Resent-Message-ID: <1@a>\r\n\r\n', '', 'another field'],
    ['', '', 'empty mail'],
    [`X: ${'y'.repeat(70_000)}\r\nMessage-ID: <1@a>\r\n\r\n`, '', 'past 64 KiB'],
  ])('%j has %j (%s)', (mail, want, _why) => {
    expect(scan(mail)).toBe(want)
    if (mail !== '' && mail.length < 1000) expect(scan(mail, 1)).toBe(want)
  })
})

describe('recent messages', () => {
  const message = (tenants: string[], sha256 = 'aa') => ({ tenants, headerMessageId: '<1@a>', sha256 })

  test('known means known to every tenant, with the same bytes', () => {
    const recent = new RecentMessages()
    expect(recent.note(message(['acme']))).toBe(false)
    expect(recent.note(message(['acme']))).toBe(true)
    expect(recent.note(message(['acme', 'beta']))).toBe(false)
    expect(recent.note(message(['beta', 'acme']))).toBe(true)
    expect(recent.note(message(['acme'], 'bb'))).toBe(false)
  })

  test('the table is bounded, and what was seen last stays', () => {
    const recent = new RecentMessages(2)
    for (const sha256 of ['1', '2', '1', '3']) recent.note(message(['acme'], sha256))
    expect(recent.size).toBe(2)
    expect([recent.note(message(['acme'], '1')), recent.note(message(['acme'], '2'))]).toEqual([true, false])
  })
})

describe('metrics', () => {
  test('every series is there from the start', async () => {
    const registry = new Registry()
    smtpMetrics(registry)
    const text = await registry.metrics()
    const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    const counters = series.filter((line) => /_total\{/.test(line))
    expect(counters.filter((line) => !line.endsWith(' 0'))).toEqual([])
    expect(series.filter((line) => line.startsWith('mail_ingest_smtp_commands_total'))).toHaveLength(
      COMMANDS.length * 4,
    )
    for (const name of [
      'smtp_connections_total{listener="smtp",outcome="limit"} 0',
      'smtp_connections{listener="smtp"} 0',
      'smtp_session_duration_seconds_count{listener="smtp"} 0',
      'smtp_transactions_total{result="accepted",reason="none"} 0',
      'smtp_transactions_total{result="reject",reason="unknown_rcpt"} 0',
      'smtp_recipients_total{result="unknown"} 0',
      'smtp_accept_duration_seconds_count 0',
      'message_size_bytes_count 0',
      'rate_limited_total{limiter="recipients"} 0',
    ]) {
      expect(series).toContain(`mail_ingest_${name}`)
    }
  })
})
