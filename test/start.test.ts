// What an operator sees when it cannot start: one plain sentence, exit status 2.

import { writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join, relative } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { environmentOf, ingestctlJson, startProgram, startSystem, temporaryFolder } from './system.ts'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { drained } from './metrics.ts'

async function refusal(
  settings: Record<string, string>,
  program = 'ingest',
): Promise<{ status: number | string; text: string }> {
  const { lines, exited } = startProgram(program, environmentOf(temporaryFolder(), settings))
  const status = await exited
  return { status, text: lines.join('\n') }
}

async function takenPort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())))
  return (server.address() as AddressInfo).port
}

describe('refuses to start, in a sentence', () => {
  test('the SMTP port is in use', async () => {
    const port = await takenPort()
    expect(await refusal({ SMTP_PORT: String(port) })).toEqual({
      status: 2,
      text: `SMTP_PORT 127.0.0.1:${port} is in use by another program`,
    })
  })

  test('the metrics port is in use', async () => {
    const port = await takenPort()
    const { status, text } = await refusal({ METRICS_LISTEN: `127.0.0.1:${port}` })
    expect(text).toBe(`METRICS_LISTEN 127.0.0.1:${port} is in use by another program`)
    expect(status).toBe(2)
  })

  test('metrics on an address that is not loopback (R29)', async () => {
    const { status, text } = await refusal({ METRICS_LISTEN: '0.0.0.0:9090' })
    expect(text).toContain('METRICS_LISTEN: must be a loopback address')
    expect(status).toBe(2)
  })

  test('the data directory cannot be written to', async () => {
    const file = join(temporaryFolder(), 'file')
    writeFileSync(file, '')
    const { status, text } = await refusal({ DATA_DIR: file })
    expect(text).toMatch(/^DATA_DIR: .* is not a directory that can be written to \(\w+\)$/)
    expect(status).toBe(2)
  })

  test('all problems of the settings together', async () => {
    const { status, text } = await refusal({ SMTP_PORT: 'x', PARSER_PROCESSES: '0' })
    expect(text).toMatch(/SMTP_PORT: .*\n.*PARSER_PROCESSES: /)
    expect(status).toBe(2)
  })

  test('a second daemon on the same data', async () => {
    const dataDir = temporaryFolder()
    await startSystem(dataDir)
    const { lines, exited } = startProgram('ingest', environmentOf(dataDir))
    expect(await exited).toBe(2)
    expect(lines.join('\n')).toMatch(/^another process has the spool in /)
  })
})

test('a data directory relative to the process, as the default is', async () => {
  const system = await startSystem(`./${relative(process.cwd(), temporaryFolder())}/data`)
  const session = await Session.open(system.smtpPort)
  expect(await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf('one', 2000))).toMatch(/^250 /)
  session.close()
  await drained(system)
  expect(await ingestctlJson<unknown[]>(system.dataDir, ['messages', 'list'])).toHaveLength(1)
})

test('a second start finds its data again', async () => {
  const dataDir = temporaryFolder()
  const first = await startSystem(dataDir)
  const session = await Session.open(first.smtpPort)
  const id = entryIdOf(await session.send('ann@sender.example', ['orders+acme@mail.localhost'], mailOf('one', 2000)))
  session.close()
  expect(id).toBeDefined()
  expect(await first.stop()).toBe(0)

  const second = await startSystem(dataDir)
  await drained(second)
  const rows = await ingestctlJson<{ entryId: string }[]>(dataDir, ['messages', 'list'])
  expect(rows.map((row) => row.entryId)).toEqual([id])
})
