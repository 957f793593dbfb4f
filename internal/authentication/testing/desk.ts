// Mails handed to the checks as smtpd hands them, over a DNS server of the test's own.

import { Registry } from '@prometheus-io/client'
import type { Findings } from '../authentication.ts'
import { dnsLookups, type Lookups } from '../lookups.ts'
import { mailAuthenticator } from '../mailauth.ts'

export const clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, ms)
      signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        reject(new Error('stopped'))
      })
    }),
}

/** What the checks complained of; nothing they are given may make them. */
export const errors: unknown[] = []

export interface Sent {
  text?: string
  address?: string
  helo?: string
  mailFrom?: string
}

export const lookupsOf = (server: string, timeoutMs = 1000, tries = 1): Lookups =>
  dnsLookups({ servers: [server], clock, timeoutMs, tries })

/** What is found out about a mail; `dns` is a server, or lookups that several mails share. */
export async function found(dns: string | Lookups, sent: Sent, timeoutMs = 5000): Promise<Findings> {
  const authenticator = mailAuthenticator({
    hostname: 'mx.example',
    lookups: typeof dns === 'string' ? lookupsOf(dns) : dns,
    timeoutMs,
    loopback: true,
    clock,
    log: { error: (fields) => void errors.push(fields) },
    registry: new Registry(),
  })
  const { text = 'From: a@b.example\r\n\r\n', address = '192.0.2.1', helo = 'relay.example', mailFrom = '' } = sent
  const evaluation = authenticator.begin({ address, helo, mailFrom })
  if (evaluation === undefined) throw new Error('not asked about')
  const octets = Buffer.from(text, 'latin1')
  for (let at = 0; at < octets.length; at += 1000) await evaluation.write(octets.subarray(at, at + 1000))
  return evaluation.end()
}

/** Line ends as SMTP has them. */
export const crlf = (text: string): string => text.replaceAll(/\r?\n/g, '\r\n')
