import { describe, expect, test } from 'vitest'
import { openBody, type BodyOptions, type Spool } from './body.ts'
import { StandInSpool } from './testing/spool.ts'

const silent = () => undefined
const log = { debug: silent, info: silent, warn: silent, error: silent }
const options = (spool: Spool, more: Partial<BodyOptions> = {}): BodyOptions => ({
  spool,
  log,
  entryId: 'e1',
  headerBytesMax: 0,
  limitBytes: 100,
  expectedBytes: 10,
  ...more,
})

/** A promise and what resolves it. */
function gate(): { open: () => void; opened: Promise<void> } {
  let open = () => undefined as void
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open: () => open(), opened }
}

describe('body', () => {
  test('what is announced beyond the limit is not held', async () => {
    const spool = new StandInSpool(1000)
    const body = await openBody(options(spool, { expectedBytes: 10_000 }))
    expect(spool.reservedBytes).toBe(100)
    await body.abort()
    expect(spool.reservedBytes).toBe(0)
  })

  test('a draft that cannot begin gives its space back', async () => {
    const spool = new StandInSpool(1000)
    spool.begin = () => {
      throw new Error('closed')
    }
    await expect(openBody(options(spool))).rejects.toThrow('closed')
    expect(spool.reservedBytes).toBe(0)
  })

  test('an abort during the commit changes nothing: what was received in full is kept', async () => {
    const spool = new StandInSpool(1000)
    const held = gate()
    const begin = spool.begin.bind(spool)
    spool.begin = (id) => {
      const draft = begin(id)
      return { ...draft, commit: (envelope) => held.opened.then(() => draft.commit(envelope)) }
    }
    const body = await openBody(options(spool))
    await body.write(Buffer.from('x'))
    const committed = body.commit({})
    await body.abort()
    held.open()
    expect(await committed).toMatchObject({ sizeBytes: 1 })
    expect(spool.kept.map((each) => each.bytes.toString())).toEqual(['x'])
    expect(spool.reservedBytes).toBe(0)
  })

  test('an abort while more space is looked for holds nothing afterwards', async () => {
    const spool = new StandInSpool(1000)
    const body = await openBody(options(spool))
    const held = gate()
    const reserve = spool.reserve.bind(spool)
    spool.reserve = (bytes) => held.opened.then(() => reserve(bytes))
    const written = body.write(Buffer.alloc(50))
    await body.abort()
    held.open()
    await written
    expect(spool.reservedBytes).toBe(0)
    expect(await body.commit({})).toBe('internal')
    expect(spool.kept).toEqual([])
  })

  test('once a body has failed its space is free, before its end is read', async () => {
    const spool = new StandInSpool(1000)
    const body = await openBody(options(spool))
    await body.write(Buffer.alloc(101))
    expect(spool.reservedBytes).toBe(0)
    await body.write(Buffer.alloc(50))
    expect({ bytes: body.bytes, runaway: body.runaway }).toEqual({ bytes: 151, runaway: false })
    expect(await body.commit({})).toBe('too_large')
  })
})
