// Makers of messages for the tests of this package, and one call that parses them in this process.

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ParsedMessage } from './message.ts'
import { parseMessage, type Parsed } from './parse.ts'

export const LIMITS_IN_TESTS = { partsMax: 1000, depthMax: 100, headerBytesMax: 1024 * 1024 }

const HEAD =
  'From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: s\r\nDate: Mon, 3 Nov 2025 10:00:00 +0000\r\n'

/** A usual header, with `more` lines, and `body`. */
export const mail = (more: string, body = ''): string => `${HEAD}${more === '' ? '' : `${more}\r\n`}\r\n${body}`

/** A multipart/mixed of `parts`, each with its header. */
export const mixed = (...parts: string[]): string =>
  mail('Content-Type: multipart/mixed; boundary=b', `${parts.map((part) => `--b\r\n${part}\r\n`).join('')}--b--\r\n`)

/** A part of `type`, other fields in `more`. */
export const part = (type: string, content: string, more = ''): string =>
  `Content-Type: ${type}\r\n${more === '' ? '' : `${more}\r\n`}\r\n${content}`

/** An attachment whose Content-Disposition has these parameters. */
export const attachment = (params: string, content = 'x'): string =>
  part('application/octet-stream', content, `Content-Disposition: attachment; ${params}`)

/** Multiparts one in the other. */
export function nested(depth: number): string {
  let text = mail('Content-Type: multipart/mixed; boundary=b0')
  for (let at = 0; at < depth; at += 1) text += `--b${at}\r\nContent-Type: multipart/mixed; boundary=b${at + 1}\r\n\r\n`
  return `${text}--b${depth}\r\n\r\ndeep\r\n`
}

export type Read = { parsed: Parsed; files: Buffer[]; ms: number }

/** Parses in this process, in memory and from a file, which must give the same; gives the attachments' bytes as well. A string is taken as Latin-1, one byte in each unit. */
export async function read(raw: string | Buffer, limits = LIMITS_IN_TESTS): Promise<Read> {
  const workDir = await mkdtemp(join(tmpdir(), 'message-'))
  try {
    const path = join(workDir, 'raw.eml')
    const bytes = typeof raw === 'string' ? Buffer.from(raw, 'latin1') : raw
    await writeFile(path, bytes)
    const job = { sizeBytes: bytes.length, workDir, limits }
    const fromFile = await parseMessage({ ...job, raw: { path } })
    const started = performance.now()
    const parsed = await parseMessage({ ...job, raw: { bytes } })
    const ms = performance.now() - started
    assert.deepEqual(parsed, fromFile)
    const paths = 'message' in parsed ? parsed.message.attachments.map((file) => file.path) : []
    const files = await Promise.all(paths.map((name) => readFile(name)))
    if ('message' in parsed)
      for (const file of parsed.message.attachments) file.path = file.path.slice(workDir.length + 1)
    return { parsed, files, ms }
  } finally {
    await rm(workDir, { recursive: true })
  }
}

/** The message, which must not be refused. */
export async function parsed(raw: string | Buffer): Promise<ParsedMessage> {
  const result = await read(raw)
  if (!('message' in result.parsed)) throw new Error(`refused: ${result.parsed.reason}`)
  return result.parsed.message
}
