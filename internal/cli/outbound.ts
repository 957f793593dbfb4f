// outbound list, show, retry, drop: mail of ours on its way out.

import {
  dropOutbound,
  getOutbound,
  listOutbound,
  OUTBOUND_STATES,
  retryOutbound,
  type Outbound,
  type OutboundFilter,
  type OutboundState,
  type Store,
} from '../store/store.ts'
import { CliError, exitFor, sentenceFor, type Exit } from './exit.ts'
import { timeText } from './message-row.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

const PAGE_MAX = 1000

const isoOf = (ms: number): string => new Date(ms).toISOString()

/** A mail as scripts see it. */
export const outboundJson = ({ mail, nextAt, createdAt, updatedAt, state, ...row }: Outbound) => ({
  ...row,
  state,
  from: mail.from,
  to: mail.to,
  subject: mail.subject,
  nextAt: state === 'pending' ? isoOf(nextAt) : null,
  createdAt: isoOf(createdAt),
  updatedAt: isoOf(updatedAt),
})
export type OutboundJson = ReturnType<typeof outboundJson>

const PAINT_OF = { pending: 'yellow', sending: 'yellow', sent: 'green', failed: 'red' } as const

const COLUMNS: readonly Column<OutboundJson>[] = [
  { head: 'WRITTEN (UTC)', of: (row) => timeText(row.createdAt) },
  { head: 'ID', of: (row) => row.id },
  { head: 'STATE', of: (row) => row.state, paint: (row) => PAINT_OF[row.state] },
  { head: 'TRIES', of: (row) => String(row.attempts), right: true },
  { head: 'FROM', of: (row) => row.from },
  { head: 'TO', of: (row) => row.to },
  { head: 'LAST', of: (row) => row.lastResult ?? '' },
]

interface ListOptions {
  tenant?: string
  state?: string
  limit: number
}

export async function list(call: Call<ListOptions>): Promise<void> {
  const { tenant, state, limit } = call.options
  const filter = {
    ...(tenant === undefined ? {} : { tenant }),
    ...(state === undefined ? {} : { state: stateOf(state) }),
  }
  const store = await call.context.engines.store('read')
  await call.output.pages(paged(store, filter, limit), COLUMNS)
}

function stateOf(text: string): OutboundState {
  const state = OUTBOUND_STATES.find((each) => each === text)
  if (state !== undefined) return state
  throw new CliError('usage', `--state must be of ${OUTBOUND_STATES.join(', ')}, not ${JSON.stringify(text)}`)
}

async function* paged(store: Store, filter: OutboundFilter, limit: number): AsyncGenerator<OutboundJson[]> {
  let left = limit
  let cursor: string | undefined
  do {
    const want = { limit: Math.min(left, PAGE_MAX), ...(cursor === undefined ? {} : { cursor }) }
    const page = await listOutbound(store, filter, want)
    yield page.rows.map(outboundJson)
    left -= page.rows.length
    cursor = page.next
  } while (left > 0 && cursor !== undefined)
}

export async function show(call: Call): Promise<void> {
  const row = await getOutbound(await call.context.engines.store('read'), call.args[0] ?? '')
  const json = outboundJson(row)
  await call.output.facts({ ...json, text: row.mail.text }, [
    ['id', row.id],
    ['state', row.state],
    ['tries', String(row.attempts)],
    ['next try', json.nextAt === null ? undefined : timeText(json.nextAt)],
    ['last', row.lastResult ?? undefined],
    ['tenant', row.tenant],
    ['answers', row.aboutMessageId ?? undefined],
    ['message-id', row.headerMessageId],
    ['from', row.mail.from],
    ['to', row.mail.to],
    ['subject', row.mail.subject],
    ['written', timeText(json.createdAt)],
    ['text', row.mail.text],
  ])
}

export const retry = (call: Call): Promise<Exit | void> =>
  each(call, async (store, id) => {
    await retryOutbound(store, id, call.context.clock.now())
    return 'is tried again'
  })

export const drop = (call: Call): Promise<Exit | void> =>
  each(call, async (store, id) => {
    await dropOutbound(store, id)
    return 'is dropped'
  })

/** Does it to each id; those that it cannot be done to hold up no other. */
async function each(call: Call, act: (store: Store, id: string) => Promise<string>): Promise<Exit | void> {
  const store = await call.context.engines.store('write')
  let failed: Exit | undefined
  for (const id of call.args) {
    try {
      call.output.note(`${id} ${await act(store, id)}`)
    } catch (error) {
      if (!(error instanceof Error) || exitFor(error) === 'failure') throw error
      call.output.note(sentenceFor(error))
      failed = call.args.length === 1 ? exitFor(error) : 'conflict'
    }
  }
  return failed
}
