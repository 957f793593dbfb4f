// The program as it is started: statuses, pipes, completion. What the verbs do is tested in internal/cli.

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openSqliteStore } from '../internal/store/sqlite.ts'
import { seedFirstStart } from '../internal/store/store.ts'

interface Ran {
  status: number
  stdout: string
  stderr: string
}

function shell(script: string, dataDir: string): Promise<Ran> {
  const { PATH = '', HOME = '' } = process.env
  return new Promise((resolve) => {
    const env = { PATH, HOME, DATA_DIR: dataDir, SMTP_PORT: '1', METRICS_LISTEN: '127.0.0.1:1' }
    execFile('bash', ['-c', script], { env }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ingestctl-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return join(dir, 'data')
}

describe('bin/ingestctl', () => {
  test.each([
    ['version', 0],
    ['--version', 0],
    ['', 0],
    ['help messages', 0],
    ['messages --help', 0],
    ['messages list --help', 0],
    ['nonsense', 2],
    ['messages list', 6],
    ['health', 1],
    ['send', 6],
    ['config explain NONE', 3],
  ])('`%s` ends with %i and makes nothing', async (line, status) => {
    const dataDir = folder()
    expect((await shell(`bin/ingestctl ${line}`, dataDir)).status).toBe(status)
    expect(existsSync(dataDir)).toBe(false)
  })

  test('changes a store that is there, and lists it', async () => {
    const dataDir = folder()
    const store = await openSqliteStore({ file: join(dataDir, 'store.db') })
    await seedFirstStart(store, { domain: 'mail.localhost', now: 0 })
    const script = 'bin/ingestctl tenants add globex >/dev/null && bin/ingestctl tenants list --plain'
    expect((await shell(script, dataDir)).stdout).toMatch(/^acme\t[^]*\nglobex\t/)
    await store.close()
  })

  test('a reader that goes away is no failure and gets no stack', async () => {
    const { stdout, stderr } = await shell(
      'bin/ingestctl completion fish | head -c 1; echo "${PIPESTATUS[0]}"',
      folder(),
    )
    expect({ stdout, stderr }).toEqual({ stdout: '#0\n', stderr: '' })
  })

  test('works from another directory and through a link', async () => {
    const dataDir = folder()
    const here = process.cwd()
    const script = `cd / && ln -s ${here}/bin/ingestctl ${dataDir}-link && ${dataDir}-link version`
    expect((await shell(script, dataDir)).stdout).toMatch(/^ingestctl \d/)
  })
})

describe('completion for bash, sourced', () => {
  test.each([
    [['mes'], ['messages']],
    [
      ['messages', ''],
      ['list', 'show', 'raw', 'search', 'retry', 'process'],
    ],
    [['queue', 'v'], ['verify']],
    [
      ['--json', 'config', ''],
      ['explain', 'check'],
    ],
    [['messages', 'list', '--st'], ['--status']],
    [['messages', 'show', ''], []],
  ])('%j is completed to %j', async (words, wanted) => {
    const quoted = words.map((word) => `'${word}'`).join(' ')
    const script = `source <(bin/ingestctl completion bash); COMP_WORDS=(ingestctl ${quoted}); COMP_CWORD=${words.length}; _ingestctl; echo "\${COMPREPLY[@]}"`
    expect((await shell(script, folder())).stdout.trim().split(' ').filter(Boolean)).toEqual(wanted)
  })
})
