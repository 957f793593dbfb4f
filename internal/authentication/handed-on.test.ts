import { expect, test } from 'vitest'
import { handedOn } from './handed-on.ts'

async function handed(text: string, size: number): Promise<string> {
  const octets = Buffer.from(text, 'latin1')
  async function* pieces() {
    for (let at = 0; at < octets.length; at += size) yield octets.subarray(at, at + size)
  }
  const out: Uint8Array[] = []
  for await (const piece of handedOn(pieces(), 'mx.example')) out.push(piece)
  return Buffer.concat(out).toString('latin1')
}

const FORGED = 'Authentication-Results: mx.example; spf=pass\r\n\tsmtp.mailfrom=bank.example\r\n'

test.each([
  [`${FORGED}\r\nx`, `Original-${FORGED}\r\nx`, '8601 5: claims our name'],
  [
    'AUTHENTICATION-RESULTS : MX.Example 1; none\r\n\r\n',
    'Original-AUTHENTICATION-RESULTS : MX.Example 1; none\r\n\r\n',
    '8601 2.2: a version, any case',
  ],
  [
    'Authentication-Results: (a (b) \\) c) mx.example; none\r\n\r\n',
    'Original-Authentication-Results: (a (b) \\) c) mx.example; none\r\n\r\n',
    'a comment first',
  ],
  [
    'Authentication-Results:\r\n "mx.example"; none\r\n\r\n',
    'Original-Authentication-Results:\r\n "mx.example"; none\r\n\r\n',
    'quoted, folded',
  ],
  [
    'Authentication-Results: mx.example.org; none\r\n\r\n',
    'Authentication-Results: mx.example.org; none\r\n\r\n',
    'another name',
  ],
  [
    'Authentication-Results: other.example; x=mx.example\r\n\r\n',
    'Authentication-Results: other.example; x=mx.example\r\n\r\n',
    'ours as a value',
  ],
  [`Subject: x\r\n\r\n${FORGED}`, `Subject: x\r\n\r\n${FORGED}`, 'in the body'],
  [
    'Return-Path: <a@b.example>\r\n folded\r\nSubject: x\r\n\r\n',
    'Subject: x\r\n\r\n',
    '5321 4.4: one Return-Path, ours',
  ],
  [' continues\r\nSubject: x\r\n\r\n', '\r\n continues\r\nSubject: x\r\n\r\n', 'does not continue our Received'],
  [`Subject: x\n${FORGED}\nbody`, `Subject: x\nOriginal-${FORGED}\nbody`, 'bare line feeds'],
  ['\r\nbody', '\r\nbody', 'no header block'],
  ['', '', 'nothing'],
])('%j is handed on as %j (%s)', async (given, want, _why) => {
  for (const size of [1, 2, 5, 1000]) expect(await handed(given, size)).toBe(want)
})
