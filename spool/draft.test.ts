import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeFs, openWriter, type SpoolWriter } from './spool.ts'
import { testOptions } from './testing/rig.ts'

let folder: string
let spool: SpoolWriter
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'draft-'))
  spool = await openWriter({ ...testOptions(nodeFs()), dir: join(folder, 'spool') })
})
afterAll(async () => {
  await spool.close()
  rmSync(folder, { recursive: true })
})

const idOf = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

async function contentOf(draft: ReturnType<SpoolWriter['begin']>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of draft.content()) chunks.push(chunk)
  return Buffer.concat(chunks)
}

test.each([
  ['in memory', 1, [300, 300]],
  ['in a file of its own', 2, [500, 500, 400_000, 1]],
])('what was written can be read before it is committed: %s', async (_where, n, sizes) => {
  const draft = spool.begin(idOf(n))
  const written: Buffer[] = []
  for (const size of sizes) {
    const chunk = randomBytes(size)
    written.push(chunk)
    await draft.write(chunk)
    expect((await contentOf(draft)).equals(Buffer.concat(written))).toBe(true)
  }
  const { sizeBytes } = await draft.commit({})
  expect(sizeBytes).toBe(Buffer.concat(written).length)
  await expect(contentOf(draft)).rejects.toThrow('it is committed')
})

test('a file that lost octets is no content', async () => {
  const draft = spool.begin(idOf(3))
  await draft.write(Buffer.alloc(2000))
  truncateSync(join(folder, 'spool', 'large', idOf(3)), 1999)
  await expect(contentOf(draft)).rejects.toThrow('1 bytes of its body are gone')
  await draft.abort()
})
