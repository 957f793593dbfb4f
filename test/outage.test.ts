// Whatever stands right of the spool may be gone: mail is still accepted, and flows on when it is back (R3).

import { renameSync, writeFileSync, rmSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { describe, expect, test } from 'vitest'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { drained, samples, total } from './metrics.ts'
import { eventually, ingestctlJson, pause, startSystem, temporaryFolder, type System } from './system.ts'

const ACME = 'orders+acme@mail.localhost'
const OUTAGE_MS = 1500

async function sendSome(system: System, count: number, name: string): Promise<string[]> {
  const session = await Session.open(system.smtpPort)
  const ids: string[] = []
  for (let at = 0; at < count; at++) {
    const reply = await session.send('ann@sender.example', [ACME], mailOf(`${name}-${at}`, at === 0 ? 400_000 : 2000))
    ids.push(entryIdOf(reply) ?? reply)
  }
  session.close()
  return ids
}

async function allThere(system: System, ids: readonly string[]): Promise<void> {
  await drained(system)
  const rows = await ingestctlJson<{ entryId: string; status: string }[]>(system.dataDir, [
    'messages',
    'list',
    '--limit',
    '1000',
  ])
  expect(
    rows
      .filter((row) => row.status === 'PARSED')
      .map((row) => row.entryId)
      .toSorted(),
  ).toEqual(ids.toSorted())
}

/** Holds the write lock of a SQLite file until `end` is called. */
function locked(file: string): { end(): void } {
  const holder = new Database(file)
  holder.exec('BEGIN EXCLUSIVE')
  return {
    end: () => {
      holder.exec('COMMIT')
      holder.close()
    },
  }
}

describe('mail is accepted, and flows on afterwards, when', () => {
  test('the object store directory cannot be written to', async () => {
    const system = await startSystem(temporaryFolder(), { UPLOAD_RETRY_MAX_MS: '300' })
    const before = await sendSome(system, 2, 'before')
    await drained(system)
    const objects = join(system.dataDir, 'objects')
    renameSync(objects, `${objects}.away`)
    writeFileSync(objects, 'no directory')
    const during = await sendSome(system, 5, 'during')
    await pause(OUTAGE_MS)
    const state = await samples(system)
    expect(total(state, 'mail_ingest_spool_bytes')).toBeGreaterThan(0)
    rmSync(objects)
    renameSync(`${objects}.away`, objects)
    await allThere(system, [...before, ...during])
  })

  test.each([
    ['the store', 'store.db'],
    ['the event log', 'events.db'],
  ])('%s is locked', async (_what, file) => {
    const system = await startSystem(temporaryFolder(), { UPLOAD_RETRY_MAX_MS: '300' })
    const before = await sendSome(system, 1, 'before')
    await drained(system)
    const lock = locked(join(system.dataDir, file))
    const during = await sendSome(system, 5, 'during')
    await pause(OUTAGE_MS)
    lock.end()
    await allThere(system, [...before, ...during])
  })

  test('the store is locked while the product starts', async () => {
    const dataDir = temporaryFolder()
    const first = await startSystem(dataDir)
    const before = await sendSome(first, 1, 'before')
    await drained(first)
    await first.stop()
    const lock = locked(join(dataDir, 'store.db'))
    const system = await startSystem(dataDir)
    const during = await sendSome(system, 2, 'during')
    lock.end()
    await allThere(system, [...before, ...during])
  })
})

describe('SIGTERM', () => {
  test('lets a transfer finish, refuses new work, and ends with 0', async () => {
    const system = await startSystem(temporaryFolder())
    const busy = await Session.open(system.smtpPort)
    await busy.expect(250, 'MAIL FROM:<ann@sender.example>')
    await busy.expect(250, `RCPT TO:<${ACME}>`)
    await busy.expect(354, 'DATA')
    await busy.write(Buffer.from('Subject: last\r\n\r\n'))
    const idle = await Session.open(system.smtpPort)
    const ended = system.stop('SIGTERM')
    await pause(300)
    expect(await idle.command('NOOP').catch((error: unknown) => String(error))).toMatch(/^421|closed/)
    const reply = await busy.command('the end\r\n.')
    expect(entryIdOf(reply)).toBeDefined()
    busy.close()
    expect(await ended).toBe(0)

    const again = await startSystem(system.dataDir)
    await allThere(again, [entryIdOf(reply) ?? ''])
  })
})

test('a session that vanishes in mid-transfer leaves nothing behind', async () => {
  const system = await startSystem(temporaryFolder())
  const gone = await Session.open(system.smtpPort)
  await gone.expect(250, 'MAIL FROM:<ann@sender.example>')
  await gone.expect(250, `RCPT TO:<${ACME}>`)
  await gone.expect(354, 'DATA')
  await gone.write(Buffer.alloc(600_000, 'x'))
  await pause(200)
  gone.close()
  await eventually(async () => {
    const left = readdirSync(join(system.dataDir, 'spool', 'large'))
    return left.length === 0 ? true : undefined
  })
  await allThere(system, [])
})
