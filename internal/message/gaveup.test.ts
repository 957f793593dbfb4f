// What is left of a message when the parser gives up on a piece of it: more than nothing. It gives up on header blocks of more than
// 1 MiB, which the limits keep from it; here they are made to reach it.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readHeaders } from './headers.ts'
import { writeFiles } from './parse.ts'
import type { Flag } from './reasons.ts'
import type { Part } from './structure.ts'

const LONG = 'x'.repeat(2 * 1024 * 1024)

test('the header: subject and addresses as they were sent', async () => {
  const flags = new Set<Flag>()
  const field = (name: string, value: string) => ({ name, value, latin1: false, cut: false })
  const fields = [field('from', 'Ann <ann@example.org>'), field('subject', 's'), field('cc', LONG)]
  expect(readHeaders(fields, 0, flags)).toMatchObject({
    subject: 's',
    from: [{ name: '', address: 'ann@example.org' }],
  })
  expect([...flags]).toContain('parse_failed')
})

test('a file: its bytes as they were sent, under a name of ours', async () => {
  const flags = new Set<Flag>()
  const workDir = await mkdtemp(join(tmpdir(), 'gave-up-'))
  const path = join(workDir, 'raw.eml')
  await writeFile(path, 'aGVsbG8=')
  const part: Part = {
    type: { value: 'application/pdf', params: [{ name: 'name', raw: LONG }] },
    disposition: { value: '', params: [] },
    encoding: 'base64',
    contentId: '',
    bodyStart: 0,
    bodyEnd: 8,
    children: [],
  }
  const range = () => ({ raw: { path }, start: 0, end: 8, bareCr: false })
  const [file] = await writeFiles([part], { range, workDir, flags })
  expect(file).toMatchObject({ filename: 'attachment-1.bin', contentType: 'application/octet-stream', sizeBytes: 8 })
  expect(await readFile(file?.path ?? '', 'utf8')).toBe('aGVsbG8=')
  expect([...flags]).toEqual(['parse_failed'])
  await rm(workDir, { recursive: true })
})
