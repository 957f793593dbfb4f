import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { nodeFs, openWriter } from '../../spool/spool.ts'
import { EventLogError, type EventData } from '../eventlog/eventlog.ts'
import { sqliteEventLog } from '../eventlog/sqlite.ts'
import type { Clock } from '../ports/ports.ts'
import { clock, envelopeFor, ids, openDesk, silent, type Desk } from './testing/desk.ts'

const refusal = (refusalId: string) => ({
  refusalId,
  tenant: 'acme',
  at: new Date(clock.now()).toISOString(),
  reason: 'unknown_rcpt',
  code: 550,
  status: '5.1.1',
  stage: 'rcpt',
  senderDomain: 'example.org',
  recipients: ['jon@acme.example'],
  recipientCount: 1,
  peerNetwork: '192.0.2.0/24',
  helo: 'mail.example.org',
  suppressed: 0,
  traceparent: ids.traceparent(),
})

/** A spool on an attached disk: entries, and refusals behind the last of them. */
async function disk(desk: Desk, entries: number, refusals: number): Promise<string> {
  const dir = join(desk.dataDir, 'attached')
  mkdirSync(dir, { recursive: true })
  const writer = await openWriter({ fs: nodeFs(), dir, clock, random: randomBytes })
  for (let n = 0; n < entries; n += 1) {
    const id = ids.entryId()
    const draft = writer.begin(id)
    await draft.write(Buffer.from(`Subject: ${id}\r\n\r\nhello\r\n`))
    await draft.commit(envelopeFor(id))
  }
  for (let n = 0; n < refusals; n += 1) {
    const id = ids.entryId()
    expect(writer.note(id, refusal(id))).toBe(true)
  }
  await writer.close()
  return dir
}

const NOTHING = { pending: 0, aside: 0, refusals: 0 }

test.each([
  [2, 3],
  [0, 3],
  [2, 0],
])('%i entries and %i refusals behind them are handed on', async (entries, refusals) => {
  const desk = await openDesk()
  const dir = await disk(desk, entries, refusals)
  expect(await desk.json(`spool attach ${dir} --dry-run`)).toEqual({ dir, ...NOTHING, pending: entries, refusals })
  expect(await desk.json(`spool attach ${dir}`)).toEqual({
    dir,
    ...NOTHING,
    handedOn: entries,
    refusalsHandedOn: refusals,
  })
  const told = await desk.json<EventData<'ingest.refused'>[]>('refusals list')
  expect(told.length).toBe(refusals)
  expect(await desk.log.ends('mail.ingest.v1')).toMatchObject([{ offset: 2 * entries }])
  expect(await desk.json(`spool attach ${dir}`)).toMatchObject({ handedOn: 0, refusalsHandedOn: 0 })
})

test('refusals that the log does not take stay, which is said, and are handed on the next time', async () => {
  const desk = await openDesk()
  const dir = await disk(desk, 1, 2)
  const log = sqliteEventLog({ file: join(desk.dataDir, 'events.db'), clock, log: silent })
  const append: typeof log.append = async (events) => {
    if (events.some(({ type }) => type === 'ingest.refused')) throw new EventLogError('server', 'it is away')
    return log.append(events)
  }
  const engines = { log: async () => ({ ...log, append }) }
  // Twenty seconds in one: the wait for refusals is bounded.
  const quick: Clock = { ...clock, monotonic: () => 20 * clock.monotonic() }
  const { status, stdout, stderr } = await desk.run(`spool attach ${dir} --json`, { clock: quick, engines })
  await log.close()
  expect({ status, facts: JSON.parse(stdout) as object }).toEqual({
    status: 5,
    facts: { dir, ...NOTHING, refusals: 2, handedOn: 1, refusalsHandedOn: 0 },
  })
  expect(stderr).toContain(`go on with: ingestctl spool attach ${dir}`)
  expect(await desk.json(`spool attach ${dir}`)).toEqual({ dir, ...NOTHING, handedOn: 0, refusalsHandedOn: 2 })
})
