// Durability T1: SIGKILL at random moments under a load of mixed sizes, then every 250 is found, complete, identical, once.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { entryIdOf, mailOf, Session } from './mail.ts'
import { drained } from './metrics.ts'
import { ingestctlJson, pause, startSystem, temporaryFolder } from './system.ts'

const KILLS = Number(process.env['KILLS'] ?? 200)
/** A start and a kill, on a machine that has other things to do. */
const KILL_MS_MAX = 8000
const SENDERS = 4
const LOAD_MS_MAX = 800

interface Row {
  id: string
  entryId: string
  status: string
  sha256: string
  sizeBytes: number
}

/** A small seeded generator (mulberry32): one seed, one run. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

async function fileDigest(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

test(
  `every 250 survives ${KILLS} kills`,
  async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31)
    process.stdout.write(`kill.test.ts seed ${seed}\n`)
    const random = seeded(seed)
    const sizeOf = () =>
      random() < 0.75 ? 500 + random() * 20_000 : random() < 0.8 ? 100_000 + random() * 400_000 : 1e6 + random() * 2e6
    const dataDir = temporaryFolder()
    const sent = new Set<string>()
    const promised = new Map<string, string>()
    let count = 0

    const sender = async (port: number, over: () => boolean): Promise<void> => {
      try {
        const session = await Session.open(port)
        while (!over()) {
          const body = mailOf(`${seed}-${count++}`, Math.floor(sizeOf()))
          const sha256 = digest(body)
          sent.add(sha256)
          const entryId = entryIdOf(await session.send('ann@sender.example', ['orders+acme@mail.localhost'], body))
          if (entryId !== undefined) promised.set(entryId, sha256)
        }
        session.close()
      } catch {
        // The server was killed under this session: what it had not answered was not promised.
      }
    }

    for (let kill = 0; kill < KILLS; kill++) {
      const system = await startSystem(dataDir)
      let over = false
      const senders = Array.from({ length: SENDERS }, () => sender(system.smtpPort, () => over))
      await pause(random() * LOAD_MS_MAX)
      await system.stop('SIGKILL')
      over = true
      await Promise.all(senders)
    }

    const system = await startSystem(dataDir)
    await drained(system, 300_000)
    const rows = await ingestctlJson<Row[]>(dataDir, ['messages', 'list', '--limit', '1000000'])
    await system.stop()
    process.stdout.write(
      `kill.test.ts: ${sent.size} sent, ${promised.size} answered 250, ${rows.length} in the store\n`,
    )

    expect(promised.size).toBeGreaterThan(KILLS)
    const perEntry = Map.groupBy(rows, (row) => row.entryId)
    const lost = [...promised].filter(([entryId, sha256]) => perEntry.get(entryId)?.[0]?.sha256 !== sha256)
    expect(lost, 'lost or altered').toEqual([])
    expect(
      [...perEntry.values()].filter((same) => same.length !== 1),
      'more than once',
    ).toEqual([])
    expect(
      rows.filter((row) => row.status !== 'PARSED'),
      'not parsed',
    ).toEqual([])
    expect(
      rows.filter((row) => !sent.has(row.sha256)),
      'partial',
    ).toEqual([])

    const objects = await filesBelow(join(dataDir, 'objects'))
    const raw = objects.filter((name) => name.endsWith('.eml'))
    const bySha = new Map(rows.map((row) => [row.id, row.sha256]))
    expect(raw.length).toBe(rows.length)
    for (const name of raw) expect(await fileDigest(name)).toBe(bySha.get(name.slice(-40, -4)))
    expect(await filesBelow(join(dataDir, 'spool', 'large'))).toEqual([])
  },
  KILL_MS_MAX * KILLS,
)
