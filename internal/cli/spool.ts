// spool list, show, verify, export: what is accepted and not handed on yet.

import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { inspect, type Finding, type InspectedEntry } from '../../spool/spool.ts'
import { CliError, type Exit } from './exit.ts'
import { lockFindings } from './locks.ts'
import { timeText } from './message-row.ts'
import type { Column } from './output.ts'
import { countText, sizeText } from './quantity.ts'
import type { Call } from './tree.ts'
import { envelopeOf, mustNotBeDamaged, spoolItems, waitingJson, waitingSummary, type WaitingJson } from './waiting.ts'

const COLUMNS: readonly Column<WaitingJson>[] = [
  { head: 'RECEIVED (UTC)', of: (row) => timeText(row.receivedAt) },
  { head: 'ENTRY', of: (row) => row.id },
  { head: 'STATE', of: (row) => row.state, paint: (row) => (row.state === 'aside' ? 'red' : 'yellow') },
  { head: 'SIZE', of: (row) => sizeText(row.sizeBytes), right: true },
  { head: 'FROM', of: (row) => row.mailFrom || '<>' },
  { head: 'TO', of: (row) => row.recipients.join(', ') + (row.reason === null ? '' : `  (${row.reason})`) },
]

/** Entries printed at one time. */
const PAGE = 500

export async function list(call: Call<{ limit: number }>): Promise<void> {
  const counts = { pending: 0, aside: 0, done: 0 }
  async function* pages() {
    let page: WaitingJson[] = []
    for await (const item of spoolItems(call.context)) {
      counts[item.state] += 1
      if (counts.pending + counts.aside > call.options.limit) continue
      page.push(waitingJson(item))
      if (page.length === PAGE) {
        yield page
        page = []
      }
    }
    yield page
  }
  await call.output.pages(pages(), COLUMNS)
  let refusals = 0
  for await (const _ of inspect(call.context.engines.spool).notes()) refusals += 1
  const beside = refusals === 0 ? '' : `; ${countText(refusals, 'refusal waits', 'refusals wait')} to be told`
  call.output.note(`${countText(counts.pending, 'entry waits', 'entries wait')}, ${counts.aside} set aside${beside}`)
}

export async function show(call: Call): Promise<void> {
  const id = call.args[0] ?? ''
  for await (const item of spoolItems(call.context)) {
    const row = waitingJson(item)
    if (row.id !== id && row.traceId !== id) continue
    return await call.output.facts({ ...row, envelope: item.envelope }, [
      ['entry', row.id],
      ['trace', row.traceId],
      ['state', row.reason === null ? row.state : `${row.state}: ${row.reason}`],
      ['received', row.receivedAt],
      ['client', `${row.client} (${envelopeOf(item).client.helo})`],
      ['from', row.mailFrom || '<>'],
      ...envelopeOf(item).recipients.map(({ address, tenant }): [string, string] => [
        'to',
        `${address} (tenant ${tenant})`,
      ]),
      ['size', `${sizeText(row.sizeBytes)} (${row.sizeBytes} bytes)`],
      ['sha256', row.sha256],
    ])
  }
  await mustNotBeDamaged(call.context, id)
  throw new CliError('missing', `no entry ${id} in the spool; when it was handed on, see: ingestctl trace ${id}`)
}

/** What is not acknowledged mail needs no action: bytes on their way in, or left by a crash before their 250. */
const harmless = ({ problem }: Finding, writerLives: boolean): boolean =>
  problem.startsWith('no frame names it') || (writerLives && problem.includes('tail of the newest segment'))

const FINDING_COLUMNS: readonly Column<Finding>[] = [
  { head: 'FILE', of: (row) => row.file },
  { head: 'OFFSET', of: (row) => String(row.offset), right: true },
  { head: 'ENTRY', of: (row) => row.id ?? '' },
  { head: 'FOUND', of: (row) => row.problem },
]

/** Reads everything, bodies as well; what is not as it should be is a row each. */
export async function verify(call: Call): Promise<Exit | void> {
  const { context, output } = call
  const writerLives = (await lockFindings(context)).some(
    ({ name, holders }) => name.includes('writer') && holders.length > 0,
  )
  const problems: Finding[] = []
  for await (const found of inspect(context.engines.spool).verify({ bodies: true })) {
    if (harmless(found, writerLives)) output.note(`${found.file}: ${found.problem}`)
    else problems.push(found)
  }
  await output.rows(problems, FINDING_COLUMNS)
  const { pending, pendingBytes, aside } = await waitingSummary(context)
  const verdict = problems.length === 0 ? 'all of it is whole' : countText(problems.length, 'problem')
  output.note(
    `${countText(pending, 'entry', 'entries')} (${sizeText(pendingBytes)}) and ${aside} set aside: ${verdict}`,
  )
  return problems.length === 0 ? undefined : 'conflict'
}

/** Writes entries as files. What is there already is not overwritten. */
export async function exportEntries(call: Call<{ into: string }>): Promise<Exit | void> {
  const wanted = new Set(call.args)
  const { into } = call.options
  await mkdir(into, { recursive: true })
  let done = 0
  let failed = 0
  for await (const item of spoolItems(call.context)) {
    if (wanted.size > 0 && !wanted.delete(item.id)) continue
    try {
      await exportOne(item, into)
      await call.output.line(join(into, `${item.id}.eml`))
      done += 1
    } catch (error) {
      call.output.note(`${item.id}: ${(error as Error).message}`)
      failed += 1
    }
  }
  call.output.note(`${countText(done, 'entry', 'entries')} exported; the spool keeps them`)
  if (wanted.size > 0)
    throw new CliError(done > 0 ? 'conflict' : 'missing', `not in the spool: ${[...wanted].join(', ')}`)
  return failed === 0 ? undefined : 'conflict'
}

async function exportOne(item: InspectedEntry, into: string): Promise<void> {
  await pipeline(item.open(), createWriteStream(join(into, `${item.id}.eml`), { flags: 'wx', mode: 0o600 }))
  const facts = JSON.stringify({ ...waitingJson(item), envelope: item.envelope }, undefined, 2)
  await writeFile(join(into, `${item.id}.json`), `${facts}\n`, { flag: 'wx', mode: 0o600 })
}
