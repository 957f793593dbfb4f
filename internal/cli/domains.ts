// domains list, add, records, remove: the domains that mail is received for.

import { addDomain, getDomain, listDomains, removeDomain, type Domain } from '../store/store.ts'
import { paged, stamped } from './directory-rows.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

const DOMAIN_COLUMNS: readonly Column<Domain>[] = [
  { head: 'DOMAIN', of: (row) => row.domain },
  { head: 'STATE', of: (row) => row.state, paint: (row) => (row.state === 'active' ? 'green' : 'yellow') },
  { head: 'TENANT', of: (row) => row.tenant ?? '(all)' },
]

export async function list(call: Call<{ tenant?: string; limit: number }>): Promise<void> {
  const { tenant, limit } = call.options
  const store = await call.context.engines.store('read')
  const only = tenant === undefined ? {} : { tenant }
  const pages = paged(
    limit,
    (want) => listDomains(store, { ...want, ...only }),
    (row) => row.domain,
  )
  await call.output.pages(pages, DOMAIN_COLUMNS, stamped)
}

export async function add(call: Call<{ tenant?: string }>): Promise<void> {
  const store = await call.context.engines.store('write')
  const facts = { domain: call.args[0] ?? '', tenant: call.options.tenant ?? null, now: call.context.clock.now() }
  const row = await store.transaction((tx) => addDomain(tx, facts))
  await call.output.facts(stamped(row), [
    ['domain', row.domain],
    ['state', row.state],
    ['tenant', row.tenant ?? '(all)'],
  ])
  call.output.note(`Now point its mail here: ${mxLine(call, row.domain)}`)
}

/** The record as it stands in a zone file (RFC 1035 3.3.9). */
const mxLine = (call: Call, domain: string): string => `${domain}. 3600 IN MX 10 ${call.context.config().smtpHostname}.`

export async function records(call: Call): Promise<void> {
  const row = await getDomain(await call.context.engines.store('read'), call.args[0] ?? '')
  const record = {
    name: `${row.domain}.`,
    ttl: 3600,
    type: 'MX',
    priority: 10,
    value: `${call.context.config().smtpHostname}.`,
  }
  if (call.output.format === 'json' || call.output.format === 'ndjson') return await call.output.rows([record], [])
  await call.output.line(mxLine(call, row.domain))
}

export async function remove(call: Call): Promise<void> {
  const store = await call.context.engines.store('write')
  await store.transaction((tx) => removeDomain(tx, call.args[0] ?? ''))
  call.output.note(`removed domain ${call.args[0] ?? ''}; mail that came to it stays`)
}
